"""What the service asks of the kernel itself, as one small interface: `host.py` satisfies it, unit tests have a double."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from polong.linux.assembly import Piece as Piece
from polong.linux.cgroup_details import Details as Details
from polong.linux.netdev import Interface as Interface
from polong.linux.userns import IdMapping as IdMapping
from polong.oci.spec.model import Device, Json


class Process(Protocol):
    """One live process, held by pidfd: the number cannot come to mean another process while this is open."""

    @property
    def pid(self) -> int: ...

    @property
    def start(self) -> int:
        """Field 22 of /proc/<pid>/stat: with the boot id it tells this process from a later one of the same number."""
        ...

    @property
    def alive(self) -> bool: ...

    async def ended(self) -> None:
        """Return once the process has ended. Any number of waiters."""
        ...

    def signal(self, number: int) -> None:
        """No error where it has already ended."""
        ...

    def close(self) -> None:
        """Idempotent; waiters are cancelled by their owners, not by this."""
        ...


@dataclass(frozen=True)
class CgroupUsage:
    """CPU time in nanoseconds, memory in bytes. `working_set` is usage without the inactive file cache; `pids` counts tasks;
    `oom_kills` processes that the OOM killer ended."""

    cpu: int = 0
    memory: int = 0
    working_set: int = 0
    rss: int = 0
    swap: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    pids: int = 0
    oom_kills: int = 0


class Kernel(Protocol):
    def boot_id(self) -> str: ...

    def open_process(self, pid: int, start: int = 0) -> Process | None:
        """None where there is no such process, or one that started at another time than `start` (0: any)."""
        ...

    def namespace_id(self, path: str) -> tuple[int, int] | None:
        """(device, inode) of a namespace by path, None where it is gone."""
        ...

    async def kill_cgroup(self, cgroup: str, timeout: float) -> bool:
        """SIGKILL every process of the cgroup and below, wait until none is left; False where some remain after `timeout` seconds.
        Idempotent, also where there is no such cgroup."""
        ...

    def oom_kills(self, cgroup: str) -> int:
        """The cgroup's own counter; 0 where it is gone."""
        ...

    def usage(self, cgroup: str) -> CgroupUsage | None:
        """None where there is no such cgroup."""
        ...

    def details(self, cgroup: str) -> Details | None:
        """What only metrics are made of; None where there is no such cgroup. Slow: for a thread."""
        ...

    def open_files_limit(self, pid: int) -> int:
        """RLIMIT_NOFILE, soft; 0 where the process is gone."""
        ...

    def interfaces(self, pid: int) -> Sequence[Interface]:
        """Counters of the network interfaces that the process sees, loopback left out; none where it is gone."""
        ...

    def remove_cgroup(self, cgroup: str) -> None:
        """Remove empty directories of that cgroup in every hierarchy. Idempotent; no error where it is in use."""
        ...

    def child_cgroups(self, cgroup: str) -> Sequence[str]:
        """All cgroups below, deepest first."""
        ...

    async def make_user_namespace(self, path: Path, mapping: IdMapping) -> None:
        """Made, mapped, and pinned at `path`. Unavailable where it cannot be."""
        ...

    def mount_mapped(self, source: Path, target: Path, user_namespace: Path) -> None:
        """Bind `source` on the new `target`, its owners seen through the mapping. OSError where the kernel refuses."""
        ...

    def mount_together(self, target: Path, pieces: Sequence[Piece]) -> None:
        """As `linux.assembly.assemble`."""
        ...

    def mount_shm(self, path: Path, size: int) -> None: ...

    def unmount(self, path: Path) -> None:
        """Whatever is mounted at exactly that path of ours. Idempotent."""
        ...

    def device(self, host_path: str, container_path: str, permissions: str) -> Device:
        """Invalid where it is no device node."""
        ...

    def read_in_root(self, root: Path, path: str, limit: int) -> str:
        """A regular file beneath `root`, no link followed, at most `limit` bytes; "" where there is none. Invalid for what is not
        a regular file or is longer."""
        ...

    def verify_created(self, pid: int, config: Json) -> None:
        """FailedPrecondition where the kernel does not say of the created process what config.json says."""
        ...

    def verify_started(self, pid: int, config: Json) -> None:
        """The same for what runtimes do last, the seccomp filter. A process that has ended passes."""
        ...

    async def connect(self, netns: str, port: int) -> socket.socket:
        """A non-blocking socket connected to the loopback `port` in that network namespace ("": the host's); Unavailable where
        nobody listens."""
        ...

    def environment(self) -> Mapping[str, str]:
        """Facts for RPC Status, verbose: kernel release and the like."""
        ...
