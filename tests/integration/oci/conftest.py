"""A node's lower half on the real kernel: both runtimes, conmon, a busybox root file system, a cgroup of the test's own."""

import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from polong.kit import ids
from polong.linux import mountinfo, proc
from polong.linux.cgroups import Cgroups
from polong.oci import bundle, host
from polong.oci.conmon import Conmon
from polong.oci.launch import BINARIES, Launcher
from polong.oci.runtime import Runtime
from polong.oci.spec import build, process
from polong.oci.spec.capabilities import DEFAULT
from polong.oci.spec.model import NODE, ContainerSpec, Namespaces, SandboxSpec
from polong.oci.spec.seccomp import runtime_default

BUSYBOX = Path("/bin/busybox")
APPLETS = ["sh", "sleep", "cat", "ls", "id", "ps", "kill", "true", "echo", "stty", "head", "mount", "readlink", "mkdir", "touch"]


@dataclass
class Node:
    """One runtime with all around it. `cgroup` is the parent of every container of this test."""

    directory: Path
    launcher: Launcher
    runtime: Runtime
    conmon: Conmon
    groups: Cgroups
    cgroup: str
    rootfs: Path
    made: list[str]

    def new(self) -> tuple[str, str, Path]:
        """An id, its cgroup, the directory of its bundle."""
        container_id = ids.container_id()
        self.made.append(container_id)
        return container_id, f"{self.cgroup}/{container_id}", self.directory / "bundles" / container_id

    async def sandbox(self, **changes) -> tuple[str, int]:
        container_id, cgroup, directory = self.new()
        root = self.directory / "pause"
        spec = SandboxSpec(rootfs=str(root), hostname="pod", cgroup=cgroup, namespaces=Namespaces(network=NODE))
        bundle.write(directory, build.sandbox(replace(spec, **changes), host.probe()))
        pid = await self.runtime.create(container_id, directory)
        await self.runtime.start(container_id)
        return container_id, pid

    def config(self, *args: str, cgroup: str, **changes) -> dict:
        spec = ContainerSpec(
            rootfs=str(self.rootfs),
            args=args,
            cgroup=cgroup,
            env=("HOME=/",),
            capabilities=DEFAULT & host.probe().capabilities,
            seccomp=runtime_default(host.default_seccomp()),
            namespaces=Namespaces(network=NODE),
        )
        return build.container(replace(spec, **changes), host.probe())

    async def container(
        self, *args: str, terminal: bool = False, stdin: bool = False, stdin_once: bool = False, **changes
    ) -> tuple[str, int]:
        """Created and started under conmon; its id and host pid."""
        container_id, cgroup, directory = self.new()
        bundle.write(directory, self.config(*args, cgroup=cgroup, terminal=terminal, **changes))
        log = self.directory / f"{container_id}.log"
        made = await self.conmon.create(container_id, directory, log_path=log, terminal=terminal, stdin=stdin, stdin_once=stdin_once)
        await self.runtime.start(container_id)
        return container_id, made.pid

    def log(self, container_id: str) -> Path:
        return self.directory / f"{container_id}.log"

    def document(self, container_id: str, *args: str, terminal: bool = False) -> dict:
        config = bundle.read(self.directory / "bundles" / container_id)
        return process.for_exec(config, args, terminal=terminal)

    def cgroup_of(self, container_id: str) -> str:
        return f"{self.cgroup}/{container_id}"

    async def clean(self) -> None:
        for container_id in self.made:
            await self.runtime.delete(container_id, force=True)
            self.conmon.forget(container_id)
        self.groups.delete(self.cgroup)


def _rootfs(directory: Path) -> Path:
    for name in ("bin", "dev", "proc", "sys", "etc", "tmp", "run"):
        (directory / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, directory / "bin/busybox")
    for applet in APPLETS:
        (directory / "bin" / applet).symlink_to("busybox")
    (directory / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    return directory


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    return _rootfs(tmp_path / "rootfs")


@pytest.fixture(params=["crun", "runc"])
async def node(request: pytest.FixtureRequest, tmp_path: Path, rootfs: Path) -> AsyncIterator[Node]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in (request.param, "conmon", str(BUSYBOX)):
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            pytest.skip(f"needs {tool}")
    pause = tmp_path / "pause"
    for name in ("dev", "proc", "sys", "etc"):
        (pause / name).mkdir(parents=True)
    shutil.copy(BINARIES / "pause", pause / "pause")
    groups = Cgroups()
    cgroup = f"/polong-test-{os.getpid()}-{ids.name_suffix()}"
    groups.create(cgroup)
    launcher = Launcher(request.param, tmp_path / "run", groups)
    made = Node(tmp_path, launcher, Runtime(launcher, tmp_path / "run"), Conmon(launcher, tmp_path / "run"), groups, cgroup, rootfs, [])
    try:
        yield made
    finally:
        await made.clean()


@pytest.fixture(autouse=True)
def census(tmp_path: Path) -> Iterator[None]:
    """After each test: no mount, no process, no descriptor of ours is left."""
    before = {entry.name for entry in Path("/proc/self/fd").iterdir()}
    yield
    left = [mount.target for mount in mountinfo.read() if mount.target.startswith(str(tmp_path))]
    assert not left, f"mounts left: {left}"
    deadline = time.monotonic() + 5
    # conmon ends a moment after its container.
    while time.monotonic() < deadline and any(_mentions(pid, str(tmp_path)) for pid in proc.pids()):
        time.sleep(0.01)
    alive = [pid for pid in proc.pids() if _mentions(pid, str(tmp_path))]
    assert not alive, f"processes left: {alive}"
    after = {entry.name for entry in Path("/proc/self/fd").iterdir()}
    assert len(after) <= len(before) + 4, json.dumps(sorted(after - before))


def _mentions(pid: int, text: str) -> bool:
    try:
        return text.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
