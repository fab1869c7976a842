"""What the CRI service asks of the layers under it. `polong.oci`, `polong.images` and `polong.cni` satisfy these by shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

# The values live below, so that the parts that make them can name them; everybody else imports them from here.
from polong.cni.types import Attachment as Attachment
from polong.cni.types import PortMapping as PortMapping
from polong.images.model import Image as Image
from polong.images.model import ImageConfig as ImageConfig
from polong.images.model import MappedIds as MappedIds
from polong.images.model import RegistryAuth as RegistryAuth
from polong.kit.stdio import Reader, Stdio, TerminalSize, Writer
from polong.oci.supervised import Supervised as Supervised

Json = dict[str, Any]

# --- images -----------------------------------------------------------------------------------------------------------------


class ImageStore(Protocol):
    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        """Errors carry Kubernetes' reason: ErrImagePull, InvalidImageName, RegistryUnavailable."""
        ...

    async def get(self, reference: str) -> Image | None:
        """By tag, by digest, by id or unambiguous id prefix (no network)."""
        ...

    async def images(self) -> Sequence[Image]: ...

    async def delete(self, reference: str) -> None:
        """Idempotent. Removes every name where `reference` is an id."""
        ...

    async def usage(self) -> tuple[Path, int, int]:
        """Where images live, bytes used, inodes used."""
        ...

    @property
    def place(self) -> Path:
        """The directory of images and root file systems."""
        ...

    async def rootfs_usage(self, key: str) -> tuple[int, int]:
        """Bytes and inodes of what container `key` wrote, (0, 0) where it has no root file system. A walk, in a thread."""
        ...

    async def mount_rootfs(self, image_id: str, key: str, mapping: MappedIds | None = None) -> Path:
        """A writable overlay over the image for container `key`, mounted; the path of the merged root. An init layer of real
        directories (dev, proc, sys, etc, run, tmp) lies above the image, so that no link of the image stands at those places.
        With `mapping` the image's owners are those of a user namespace, whose own processes can reach the root."""
        ...

    async def mount_volume(self, image_id: str, key: str, name: str) -> Path:
        """The content of an image, read-only, as volume `name` (a plain word) of container `key`, whose root file system is mounted.
        It goes with that."""
        ...

    async def release_rootfs(self, key: str) -> None:
        """Unmount and delete it, and its volumes. Idempotent; also for keys of an earlier run of the daemon."""
        ...

    async def rootfs_keys(self) -> Sequence[str]:
        """Keys that have a root file system on disk (for recovery)."""
        ...


# --- the OCI runtime ----------------------------------------------------------------------------------------------------------


class ExecProcess(Protocol):
    """A process that joined a container; its stdio are streams of ours."""

    @property
    def pid(self) -> int:
        """Host PID of the process inside the container (not of the runtime that started it)."""
        ...

    @property
    def stdin(self) -> Writer | None: ...

    @property
    def stdout(self) -> Reader: ...

    @property
    def stderr(self) -> Reader | None: ...

    def resize(self, size: TerminalSize) -> None: ...

    async def wait(self) -> int:
        """The exit code; 128+n for signal n."""
        ...

    def kill(self) -> None:
        """SIGKILL the process. Idempotent."""
        ...

    async def aclose(self) -> None:
        """After use, always: kill it where it still runs, close the streams. Idempotent. What it started in the background stays."""
        ...


class OciRuntime(Protocol):
    """crun, runc or any runtime of that command line. `bundle` holds config.json; ids are 64 hex digits."""

    async def run(self, container_id: str, bundle: Path) -> int:
        """Create and start without supervisor (the sandbox's /pause); the host PID."""
        ...

    async def start(self, container_id: str) -> None: ...

    async def kill(self, container_id: str, signal: int) -> None:
        """To the main process only. No error where it has already ended."""
        ...

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        """Idempotent."""
        ...

    async def state(self, container_id: str) -> Json | None:
        """The runtime's `state` document, None where it knows no such container."""
        ...

    async def exec(self, container_id: str, process: Json, *, stdin: bool, cgroup: str, passed: Sequence[int] = ()) -> ExecProcess:
        """`process` is the OCI process object; its `terminal` decides between a pty and pipes. `passed` are open descriptors, which it
        gets as 3, 4, … Raises `FailedPrecondition` with the runtime's own words where the command cannot be started."""
        ...

    async def update(self, container_id: str, resources: Json) -> None: ...

    async def version(self) -> tuple[str, str]:
        """Name and version, such as ("crun", "1.8.1")."""
        ...


class Supervisor(Protocol):
    """conmon: one process a container that holds its stdio, writes its log (CRI format) and its exit file, and survives us."""

    async def create(
        self, container_id: str, bundle: Path, *, log_path: Path | None, terminal: bool, stdin: bool, stdin_once: bool
    ) -> Supervised:
        """conmon + runtime create. Raises FailedPrecondition (reason RunContainerError) with the runtime's own words."""
        ...

    async def attach(self, container_id: str, stdio: Stdio) -> None: ...

    async def resize(self, container_id: str, size: TerminalSize) -> None: ...

    async def reopen_log(self, container_id: str) -> None: ...

    def exit_code(self, container_id: str) -> int | None:
        """From the exit file; None while there is none."""
        ...

    async def end(self, container_id: str) -> None:
        """Kill the supervisor itself, of a container that is not wanted. Idempotent."""
        ...

    def forget(self, container_id: str) -> None:
        """Delete the supervisor's files of this container. Idempotent."""
        ...


# --- network ------------------------------------------------------------------------------------------------------------------


class Network(Protocol):
    async def setup(self) -> None:
        """Bridge, masquerade rule, ip_forward: once, when the node starts. Idempotent."""
        ...

    async def create_namespace(self, sandbox_id: str, user_namespace: str = "") -> Path:
        """A network namespace, pinned, its loopback up; its path. It belongs to the user namespace at that path, "" being the host's."""
        ...

    async def attach(self, sandbox_id: str, *, name: str, namespace: str, uid: str, ports: Sequence[PortMapping]) -> Attachment:
        """CNI ADD. Unavailable with reason NetworkNotReady where plugins or configuration are missing."""
        ...

    async def detach(self, sandbox_id: str) -> None:
        """CNI DEL. Idempotent; works also for sandboxes of an earlier run."""
        ...

    async def delete_namespace(self, sandbox_id: str) -> None:
        """Idempotent."""
        ...

    async def sandbox_ids(self) -> Sequence[str]:
        """Sandboxes that have a namespace or an attachment here, also of an earlier run (for recovery)."""
        ...

    async def ready(self) -> str:
        """Empty where Pods can be attached; else why not, in one line."""
        ...

    async def teardown(self) -> None:
        """Undo `setup` when the last Pod is gone and the node goes down. Idempotent."""
        ...


OnExit = Callable[[str], None]
