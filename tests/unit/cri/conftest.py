"""Doubles of everything under the CRI service, each declared against its Protocol, and a service built on them."""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from polong.cri.engine import Engine, Handler, Settings
from polong.cri.kernel import CgroupUsage, Details, IdMapping, Interface, Kernel, Piece, Process
from polong.cri.ports import (
    Attachment,
    ExecProcess,
    Image,
    ImageConfig,
    ImageStore,
    Network,
    OciRuntime,
    PortMapping,
    RegistryAuth,
    Supervised,
    Supervisor,
)
from polong.cri.service import CriService
from polong.criapi.wire import v1
from polong.kit.clock import SystemClock
from polong.kit.errors import FailedPrecondition, PolongError
from polong.kit.stdio import Pipe, Stdio, TerminalSize
from polong.oci.spec.capabilities import DEFAULT
from polong.oci.spec.model import Device, Host

Json = dict[str, Any]
IMAGE_ID = f"sha256:{'a' * 64}"


class FakeProcess:
    def __init__(self, pid: int, start: int) -> None:
        self._pid, self._start = pid, start
        self.gone = asyncio.Event()
        self.signals: list[int] = []
        self.closed = False
        self.exiting = False
        self.dies_of = {signal.SIGKILL, signal.SIGTERM}
        self.on_death: Callable[[int], None] = lambda number: None

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def start(self) -> int:
        return self._start

    @property
    def alive(self) -> bool:
        return not self.exiting and not self.gone.is_set()

    async def ended(self) -> None:
        await self.gone.wait()

    def signal(self, number: int) -> None:
        self.signals.append(number)
        if number in self.dies_of and self.alive:
            self.gone.set()
            self.on_death(number)

    def close(self) -> None:
        self.closed = True


class World:
    """What all doubles share: processes, cgroups, failures to come, and the order in which things were asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fail: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.processes: dict[int, FakeProcess] = {}
        self.cgroups: dict[str, set[int]] = {}
        self.exit_codes: dict[str, int] = {}
        self.mains: dict[str, int] = {}
        self.conmons: dict[str, int] = {}
        self.ooms: dict[str, int] = {}
        self.rootfs: dict[str, Path] = {}
        self.netns: set[str] = set()
        self.attached: set[str] = set()
        self.shms: set[str] = set()
        self.states: dict[str, str] = {}
        self.boot = "boot-1"
        self.unkillable: set[str] = set()
        self.bundles: dict[str, Json] = {}
        self.execs: list[FakeExec] = []
        self._pids = itertools.count(1000)

    async def step(self, name: str, subject: str = "") -> None:
        self.calls.append(f"{name} {subject[:6]}".strip())
        if name in self.gates:
            await self.gates[name].wait()
        await asyncio.sleep(0)
        if name in self.fail:
            raise self.fail[name]

    def spawn(self, cgroup: str) -> FakeProcess:
        pid = next(self._pids)
        process = FakeProcess(pid, pid * 10)
        self.processes[pid] = process
        self.cgroups.setdefault(cgroup, set()).add(pid)
        return process

    def end(self, container_id: str, code: int | None) -> None:
        """The main process ends by itself, and conmon after it."""
        if code is not None:
            self.exit_codes[container_id] = code
        self.processes[self.mains[container_id]].gone.set()
        if container_id in self.conmons:
            self.processes[self.conmons[container_id]].gone.set()


class FakeKernel:
    def __init__(self, world: World) -> None:
        self.world = world

    def boot_id(self) -> str:
        return self.world.boot

    def open_process(self, pid: int, start: int = 0) -> Process | None:
        found = self.world.processes.get(pid)
        if found is None or not found.alive or start not in (0, found.start):
            return None
        return found

    def namespace_id(self, path: str) -> tuple[int, int] | None:
        return (4, 7)

    async def kill_cgroup(self, cgroup: str, timeout: float) -> bool:
        self.world.calls.append(f"kill_cgroup {cgroup[-6:]}")
        if cgroup in self.world.unkillable:
            await asyncio.sleep(0.01)
            return False
        for pid in self.world.cgroups.get(cgroup, set()):
            process = self.world.processes[pid]
            if process.alive:
                process.signal(signal.SIGKILL)
        await asyncio.sleep(0)
        return True

    def oom_kills(self, cgroup: str) -> int:
        return self.world.ooms.get(cgroup, 0)

    async def make_user_namespace(self, path: Path, mapping: IdMapping) -> None:
        path.touch()

    def mount_mapped(self, source: Path, target: Path, user_namespace: Path) -> None:
        target.parent.mkdir(exist_ok=True)
        target.touch()

    def mount_together(self, target: Path, pieces: Sequence[Piece]) -> None:
        target.mkdir(parents=True)

    def details(self, cgroup: str) -> Details | None:
        return Details(processes=2) if cgroup in self.world.cgroups else None

    def open_files_limit(self, pid: int) -> int:
        return 1024

    def interfaces(self, pid: int) -> Sequence[Interface]:
        return [Interface("eth0", 10, 1, 0, 0, 20, 2, 0, 0)]

    def usage(self, cgroup: str) -> CgroupUsage | None:
        return CgroupUsage(cpu=5, memory=7, working_set=6) if cgroup in self.world.cgroups else None

    def remove_cgroup(self, cgroup: str) -> None:
        self.world.cgroups.pop(cgroup, None)

    def child_cgroups(self, cgroup: str) -> Sequence[str]:
        return [each for each in self.world.cgroups if each.startswith(f"{cgroup}/")]

    def mount_shm(self, path: Path, size: int) -> None:
        self.world.shms.add(str(path))

    def unmount(self, path: Path) -> None:
        self.world.shms.discard(str(path))

    def device(self, host_path: str, container_path: str, permissions: str) -> Device:
        return Device(container_path, "c", 1, 3, permissions)

    def read_in_root(self, root: Path, path: str, limit: int) -> str:
        file = root / path
        return file.read_text() if file.exists() else ""

    def verify_created(self, pid: int, config: Json) -> None:
        if "verify" in self.world.fail:
            raise self.world.fail["verify"]

    def verify_started(self, pid: int, config: Json) -> None: ...

    async def connect(self, netns: str, port: int) -> socket.socket:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return {"kernel": "test"}


class FakeImages:
    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self.directory = directory
        self.image = Image(
            id=IMAGE_ID,
            repo_tags=("docker.io/library/busybox:1.28",),
            repo_digests=(f"docker.io/library/busybox@{IMAGE_ID}",),
            size=123,
            config=ImageConfig(cmd=("sh",)),
        )
        self.pulled_with: RegistryAuth | None = None

    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        self.pulled_with = auth
        return self.image

    async def get(self, reference: str) -> Image | None:
        return self.image if reference in ("busybox", self.image.id, *self.image.repo_tags) else None

    async def images(self) -> Sequence[Image]:
        return [self.image]

    async def delete(self, reference: str) -> None:
        self.world.calls.append(f"delete_image {reference}")

    async def usage(self) -> tuple[Path, int, int]:
        return self.directory, 10, 2

    async def mount_volume(self, image_id: str, key: str, name: str) -> Path:
        path = self.directory / f"{key}-{name}"
        path.mkdir()
        return path

    async def mount_rootfs(self, image_id: str, key: str, mapping: object = None) -> Path:
        await self.world.step("mount_rootfs", key)
        root = self.directory / key
        for name in ("dev", "proc", "sys", "etc", "run", "tmp"):
            (root / name).mkdir(parents=True)
        self.world.rootfs[key] = root
        return root

    async def release_rootfs(self, key: str) -> None:
        await self.world.step("release_rootfs", key)
        self.world.rootfs.pop(key, None)

    @property
    def place(self) -> Path:
        return Path("/")

    async def rootfs_usage(self, key: str) -> tuple[int, int]:
        return 4096, 3

    async def rootfs_keys(self) -> Sequence[str]:
        return list(self.world.rootfs)


class FakeExec:
    def __init__(self, world: World, document: Json) -> None:
        self.document = document
        self.world = world
        self.process = world.spawn("exec")
        self.out, self.err, self.input = Pipe(), Pipe(), Pipe()
        self.code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.sizes: list[TerminalSize] = []
        self.closed = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stdin(self) -> Pipe:
        return self.input

    @property
    def stdout(self) -> Pipe:
        return self.out

    @property
    def stderr(self) -> Pipe | None:
        return None if self.document["terminal"] else self.err

    def resize(self, size: TerminalSize) -> None:
        self.sizes.append(size)

    async def wait(self) -> int:
        return await asyncio.shield(self.code)

    async def finish(self, code: int, out: bytes = b"") -> None:
        if out:
            await self.out.write(out)
        await self.out.close()
        await self.err.close()
        self.code.set_result(code)

    def kill(self) -> None:
        if not self.code.done():
            self.code.set_result(137)

    async def aclose(self) -> None:
        self.kill()
        self.closed = True
        for pipe in (self.out, self.err):
            await pipe.close()


class FakeRuntime:
    def __init__(self, world: World) -> None:
        self.world = world

    def born(self, container_id: str, bundle: Path) -> FakeProcess:
        import json

        config = json.loads((bundle / "config.json").read_text())
        self.world.bundles[container_id] = config
        process = self.world.spawn(config["linux"]["cgroupsPath"])
        self.world.states[container_id] = "created"
        return process

    async def run(self, container_id: str, bundle: Path) -> int:
        await self.world.step("run", container_id)
        process = self.born(container_id, bundle)
        self.world.states[container_id] = "running"
        return process.pid

    async def start(self, container_id: str) -> None:
        await self.world.step("start", container_id)
        self.world.states[container_id] = "running"

    async def kill(self, container_id: str, number: int) -> None:
        await self.world.step(f"kill-{number}", container_id)
        self.world.processes[self.world.mains[container_id]].signal(number)

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        await self.world.step("delete", container_id)
        config = self.world.bundles.get(container_id)
        if config is not None and force:
            for pid in self.world.cgroups.get(config["linux"]["cgroupsPath"], set()):
                self.world.processes[pid].signal(signal.SIGKILL)
        self.world.states.pop(container_id, None)

    async def state(self, container_id: str) -> Json | None:
        status = self.world.states.get(container_id)
        return None if status is None else {"status": status}

    async def exec(self, container_id: str, process: Json, *, stdin: bool, cgroup: str, passed: Sequence[int] = ()) -> ExecProcess:
        await self.world.step("exec", container_id)
        self.world.execs.append(FakeExec(self.world, process))
        return self.world.execs[-1]

    async def update(self, container_id: str, resources: Json) -> None:
        self.world.calls.append(f"update {resources}")

    async def version(self) -> tuple[str, str]:
        await self.world.step("version")
        return "fake", "1"


class FakeSupervisor:
    def __init__(self, world: World, runtime: FakeRuntime) -> None:
        self.world = world
        self.runtime = runtime

    async def create(
        self, container_id: str, bundle: Path, *, log_path: Path | None, terminal: bool, stdin: bool, stdin_once: bool
    ) -> Supervised:
        await self.world.step("supervise", container_id)
        main = self.runtime.born(container_id, bundle)
        conmon = self.world.spawn("conmon")
        main.on_death = lambda number: self.world.end(container_id, 128 + number)
        self.world.mains[container_id] = main.pid
        self.world.conmons[container_id] = conmon.pid
        return Supervised(conmon_pid=conmon.pid, pid=main.pid)

    async def attach(self, container_id: str, stdio: Stdio) -> None:
        await self.world.step("attach", container_id)
        if stdio.stdout is not None:
            await stdio.stdout.write(b"attached\n")
        await self.world.processes[self.world.mains[container_id]].ended()

    async def resize(self, container_id: str, size: TerminalSize) -> None: ...

    async def reopen_log(self, container_id: str) -> None:
        await self.world.step("reopen_log", container_id)

    def exit_code(self, container_id: str) -> int | None:
        return self.world.exit_codes.get(container_id)

    async def end(self, container_id: str) -> None:
        return

    def forget(self, container_id: str) -> None:
        self.world.exit_codes.pop(container_id, None)


class FakeNetwork:
    def __init__(self, world: World) -> None:
        self.world = world
        self.not_ready = ""
        self.ports: list[PortMapping] = []

    async def setup(self) -> None:
        await self.world.step("setup")

    async def create_namespace(self, sandbox_id: str, user_namespace: str = "") -> Path:
        await self.world.step("create_namespace", sandbox_id)
        self.world.netns.add(sandbox_id)
        return Path(f"/run/netns/{sandbox_id}")

    async def attach(self, sandbox_id: str, *, name: str, namespace: str, uid: str, ports: Sequence[PortMapping]) -> Attachment:
        self.world.attached.add(sandbox_id)
        self.ports = list(ports)
        await self.world.step("network_attach", sandbox_id)
        return Attachment(("10.88.0.2", "fd00::2"))

    async def detach(self, sandbox_id: str) -> None:
        await self.world.step("detach", sandbox_id)
        self.world.attached.discard(sandbox_id)

    async def delete_namespace(self, sandbox_id: str) -> None:
        await self.world.step("delete_namespace", sandbox_id)
        self.world.netns.discard(sandbox_id)

    async def sandbox_ids(self) -> Sequence[str]:
        return sorted(self.world.netns | self.world.attached)

    async def ready(self) -> str:
        return self.not_ready

    async def teardown(self) -> None: ...


_kernel: type[Kernel] = FakeKernel
_images: type[ImageStore] = FakeImages
_runtime: type[OciRuntime] = FakeRuntime
_supervisor: type[Supervisor] = FakeSupervisor
_network: type[Network] = FakeNetwork


class Node:
    """A service on doubles; `restart` drops the service as a crash would and builds another on the same state."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.world = World()
        (directory / "pause-binary").write_bytes(b"\x7fELF")
        self.kernel = FakeKernel(self.world)
        self.images = FakeImages(self.world, directory / "images")
        self.runtime = FakeRuntime(self.world)
        self.supervisor = FakeSupervisor(self.world, self.runtime)
        self.network = FakeNetwork(self.world)
        self.settings = Settings(
            state_dir=directory / "state",
            run_dir=directory / "run",
            cgroup_parent="/polong/test",
            pause=directory / "pause-binary",
            host=Host(architecture="x86_64", capabilities=DEFAULT | {"CAP_SYS_PTRACE", "CAP_SYS_ADMIN"}),
            seccomp_default={"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []},
        )
        self.service = self._build()

    def _build(self) -> CriService:
        return CriService(
            self.settings,
            images=self.images,
            handlers={"": Handler(self.runtime, self.supervisor), "other": Handler(self.runtime, self.supervisor)},
            network=self.network,
            kernel=self.kernel,
            clock=SystemClock(),
        )

    @property
    def engine(self) -> Engine:
        return self.service._engine

    async def restart(self) -> None:
        await self.service.aclose()
        self.world.calls.clear()
        self.service = self._build()
        await self.service.start()

    def sandbox_config(self, name: str = "pod", *, pid: int = v1.POD, attempt: int = 0) -> v1.PodSandboxConfig:
        config = v1.PodSandboxConfig(
            metadata=v1.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="default", attempt=attempt),
            hostname=name,
            labels={"app": name},
        )
        config.linux.cgroup_parent = f"/polong/test/pod{name}"
        config.linux.security_context.namespace_options.pid = pid
        return config

    def container_config(self, name: str = "c", *, pid: int = v1.POD, target: str = "") -> v1.ContainerConfig:
        config = v1.ContainerConfig(metadata=v1.ContainerMetadata(name=name), image=v1.ImageSpec(image="busybox"), labels={"c": name})
        config.linux.security_context.namespace_options.pid = pid
        config.linux.security_context.namespace_options.target_id = target
        return config

    async def run(self, name: str = "pod", *, pid: int = v1.POD, attempt: int = 0) -> str:
        config = self.sandbox_config(name, pid=pid, attempt=attempt)
        return (await self.service.run_pod_sandbox(v1.RunPodSandboxRequest(config=config))).pod_sandbox_id

    async def create(self, sandbox_id: str, name: str = "c", *, pid: int = v1.POD, target: str = "") -> str:
        config = self.container_config(name, pid=pid, target=target)
        request = v1.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=self.sandbox_config())
        return (await self.service.create_container(request)).container_id

    async def start(self, container_id: str) -> None:
        await self.service.start_container(v1.StartContainerRequest(container_id=container_id))

    async def started(self, sandbox_id: str, name: str = "c", *, pid: int = v1.POD) -> str:
        container_id = await self.create(sandbox_id, name, pid=pid)
        await self.start(container_id)
        return container_id

    async def status(self, container_id: str) -> v1.ContainerStatus:
        return (await self.service.container_status(v1.ContainerStatusRequest(container_id=container_id))).status

    async def sandbox_status(self, sandbox_id: str) -> v1.PodSandboxStatus:
        return (await self.service.pod_sandbox_status(v1.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id))).status

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - the doubles know no events
                await asyncio.sleep(0.001)

    async def over(self, container_id: str) -> v1.ContainerStatus:
        """Wait until its exit is recorded."""
        async with asyncio.timeout(10):
            await self.engine.table.containers[container_id].over.wait()
        return await self.status(container_id)

    def census(self) -> list[str]:
        """Everything that is left of sandboxes and containers."""
        world = self.world
        left = [f"rootfs {each}" for each in world.rootfs] + [f"netns {each}" for each in world.netns]
        left += [f"attached {each}" for each in world.attached] + [f"shm {each}" for each in world.shms]
        left += [f"state {each}" for each in world.states]
        for kind in ("sandboxes", "bundles"):
            left += [str(each) for each in (self.directory / "run" / kind).glob("*")]
        for kind in ("sandboxes", "containers"):
            left += [str(each) for each in (self.directory / "state" / kind).glob("*")]
        left += [f"process {pid}" for pid, each in world.processes.items() if each.alive and pid not in world.conmons.values()]
        return left


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    found = Node(tmp_path)
    await found.service.start()
    yield found
    await found.service.aclose()


@pytest.fixture
def refusal() -> PolongError:
    return FailedPrecondition("the runtime says no")
