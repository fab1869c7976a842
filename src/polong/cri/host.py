"""The kernel, as `kernel.Kernel` asks for it: `polong.linux`, and a child for what must happen in another namespace."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from polong.cri import dial
from polong.cri.kernel import CgroupUsage, Details, Interface, Kernel, Process
from polong.kit.errors import Internal, Invalid, TooLarge
from polong.linux import assembly, cgroup_details, mounts, namespaces, netdev, paths, proc, syscalls, userns
from polong.linux.assembly import Piece
from polong.linux.cgroups import Cgroups
from polong.linux.flags import MNT, MS
from polong.linux.pidfd import PidFd
from polong.linux.userns import IdMapping
from polong.oci import host as oci_host
from polong.oci import verify
from polong.oci.spec.model import Device, Json

_REASON = "CreateContainerError"


class HostProcess:
    """`kernel.Process` over a pidfd."""

    def __init__(self, handle: PidFd, start: int) -> None:
        self._handle = handle
        self._open = True
        self._start = start

    @property
    def pid(self) -> int:
        return self._handle.pid

    @property
    def start(self) -> int:
        return self._start

    @property
    def alive(self) -> bool:
        if not self._open or self._handle.ended():
            return False
        try:
            # PID 1 of a namespace ends only after the kernel has ended all others in it: long before, it is as good as dead.
            return not proc.stat(self._handle.pid).exiting
        except (ProcessLookupError, ValueError, IndexError):
            return False

    async def ended(self) -> None:
        await self._handle.wait()

    def signal(self, number: int) -> None:
        if self._open:
            self._handle.send(number)

    def close(self) -> None:
        self._open = False
        self._handle.close()


class HostKernel:
    """One a daemon. `cgroups` is shared with the OCI layer."""

    def __init__(self, cgroups: Cgroups) -> None:
        self._cgroups = cgroups

    def boot_id(self) -> str:
        return proc.boot_id()

    def open_process(self, pid: int, start: int = 0) -> Process | None:
        try:
            handle = PidFd.open(pid)
        except (ProcessLookupError, OverflowError, OSError):
            return None
        # After the open: from here on the number cannot change hands, so what is read is this process's.
        found = proc.start_time(pid)
        if found is None or handle.ended() or start not in (0, found):
            handle.close()
            return None
        return HostProcess(handle, found)

    def namespace_id(self, path: str) -> tuple[int, int] | None:
        try:
            found = namespaces.identity(path)
        except OSError:
            return None
        return found.device, found.inode

    async def kill_cgroup(self, cgroup: str, timeout: float) -> bool:
        try:
            await self._cgroups.kill(cgroup, timeout)
        except Internal:
            return False
        return True

    def oom_kills(self, cgroup: str) -> int:
        stats = self._cgroups.stats(cgroup)
        return 0 if stats is None else stats.oom_kills

    def usage(self, cgroup: str) -> CgroupUsage | None:
        stats = self._cgroups.stats(cgroup)
        if stats is None:
            return None
        return CgroupUsage(
            cpu=stats.cpu_ns,
            memory=stats.memory,
            working_set=stats.working_set,
            rss=stats.rss,
            swap=stats.swap,
            page_faults=stats.page_faults,
            major_page_faults=stats.major_page_faults,
            pids=stats.pids,
            oom_kills=stats.oom_kills,
        )

    def details(self, cgroup: str) -> Details | None:
        return cgroup_details.read(self._cgroups, cgroup)

    def open_files_limit(self, pid: int) -> int:
        try:
            soft, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        except OSError:
            return 0
        return max(0, soft)

    def interfaces(self, pid: int) -> Sequence[Interface]:
        try:
            return [each for each in netdev.of_process(pid) if each.name != "lo"]
        except ProcessLookupError:
            return []

    def remove_cgroup(self, cgroup: str) -> None:
        with contextlib.suppress(OSError):
            self._cgroups.delete(cgroup)

    def remove_empty_cgroup(self, cgroup: str) -> None:
        """Only where no other is below it: one that several nodes of this host share."""
        self._cgroups.delete_if_empty(cgroup)

    def child_cgroups(self, cgroup: str) -> Sequence[str]:
        found: set[str] = set()
        for top in self._cgroups.directories(cgroup):
            for directory, _, _ in os.walk(top):
                if directory != str(top):
                    found.add(f"{cgroup.rstrip('/')}/{Path(directory).relative_to(top)}")
        return sorted(found, key=lambda path: (-path.count("/"), path))

    async def make_user_namespace(self, path: Path, mapping: IdMapping) -> None:
        await userns.pin(path, mapping)

    def mount_mapped(self, source: Path, target: Path, user_namespace: Path) -> None:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if source.is_dir():
            target.mkdir(mode=0o700)
        else:
            target.touch(mode=0o600)
        userns.bind_mapped(source, target, user_namespace)

    def mount_together(self, target: Path, pieces: Sequence[Piece]) -> None:
        assembly.assemble(target, pieces)

    def mount_shm(self, path: Path, size: int) -> None:
        mounts.Tmpfs(str(path), size=size, mode=0o1777, flags=MS.NOSUID | MS.NODEV | MS.NOEXEC, source="shm").execute()

    def unmount(self, path: Path) -> None:
        # EINVAL: nothing is mounted there. ENOENT: it was never made.
        with contextlib.suppress(OSError):
            while True:
                syscalls.umount2(str(path), MNT.DETACH)

    def device(self, host_path: str, container_path: str, permissions: str) -> Device:
        if not container_path.startswith("/"):
            raise Invalid(f"cannot put device {host_path} at {container_path!r}: not an absolute path", reason=_REASON)
        try:
            # A link such as /dev/stdin or a disk by its label means the node it leads to.
            return oci_host.device(str(Path(host_path).resolve(strict=True)), container_path, permissions)
        except OSError as error:
            raise Invalid(f"cannot use device {host_path}: {error.strerror}", reason=_REASON) from error

    def read_in_root(self, root: Path, path: str, limit: int) -> str:
        try:
            with paths.Root.open(root) as top:
                return top.read(path, limit, resolve=paths.IN_ROOT).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        except (TooLarge, Invalid) as error:
            raise Invalid(f"cannot read /{path} of the image: {error.message}", reason=_REASON) from error
        except OSError as error:
            raise Invalid(f"cannot read /{path} of the image: {error.strerror}", reason=_REASON) from error

    def verify_created(self, pid: int, config: Json) -> None:
        verify.created(pid, config)

    def verify_started(self, pid: int, config: Json) -> None:
        verify.started(pid, config)

    async def connect(self, netns: str, port: int) -> socket.socket:
        return await dial.connect(netns, port)

    def environment(self) -> Mapping[str, str]:
        system = os.uname()
        return {"kernel": system.release, "architecture": system.machine, "cgroups": self._cgroups.layout.kind}


_kernel: type[Kernel] = HostKernel
_process: type[Process] = HostProcess
