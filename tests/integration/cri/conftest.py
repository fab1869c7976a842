"""The CRI service on the real kernel: crun, conmon, CNI plugins, overlayfs, an image that the test makes of the host's busybox."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures import oci

from polong.cni.network import PodNetwork
from polong.cri.engine import Engine, Handler, Settings
from polong.cri.host import HostKernel
from polong.cri.service import CriService
from polong.criapi.wire import v1
from polong.images.admin import ImageAdmin
from polong.images.service import ImageService
from polong.kit import ids
from polong.kit.clock import SystemClock
from polong.linux import mountinfo, proc
from polong.linux.cgroups import Cgroups
from polong.oci import host as oci_host
from polong.oci.conmon import Conmon
from polong.oci.launch import BINARIES, Launcher
from polong.oci.runtime import Runtime

BUSYBOX = Path("/bin/busybox")
IMAGE = "docker.io/library/test-busybox:1"
_APPLETS = ("sh", "sleep", "cat", "ls", "id", "ps", "kill", "true", "echo", "readlink", "nc", "pwd", "hostname", "setsid", "dd", "grep")


def _layer() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        tar.add(BUSYBOX.resolve(), "bin/busybox")
        for applet in _APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        for name, text in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nworker:x:101:102::/home/worker:/bin/sh\n"),
            ("etc/group", "root:x:0:\nworker:x:102:\nextra:x:500:worker\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def archive() -> bytes:
    """An image in docker-save's format."""
    layer = _layer()
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin", "FROM_IMAGE=1"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in (
            ("config.json", json.dumps(config).encode()),
            ("layer.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


class Node:
    """A whole runtime of its own: directories, cgroup, bridge and address range carry the test's id."""

    def __init__(self, directory: Path, runtime: str = "crun") -> None:
        self.directory = directory
        self.node_id = hashlib.sha256(str(directory).encode()).hexdigest()[:8]
        self.cgroup = f"/polong-test-{self.node_id}"
        self.groups = Cgroups()
        run_dir = directory / "run"
        launcher = Launcher(runtime, run_dir, self.groups)
        self.handler = Handler(Runtime(launcher, run_dir), Conmon(launcher, run_dir))
        octets = int(self.node_id[:4], 16)
        self.network = PodNetwork(
            node_id=self.node_id,
            pod_cidr=f"10.{200 + octets % 50}.{octets >> 8}.0/24",
            state_dir=directory / "network",
            run_dir=directory / "run-network",
        )
        self.mapped_roots = Path("/run/polong-test-users") / self.node_id
        self.images = ImageService(directory / "images", mapped_roots=self.mapped_roots)
        self.settings = Settings(
            state_dir=directory / "state",
            run_dir=run_dir,
            cgroup_parent=self.cgroup,
            pause=BINARIES / "pause",
            host=oci_host.probe(),
            seccomp_default=oci_host.default_seccomp(),
            mapped_roots=self.mapped_roots,
        )
        self.service = self._build()
        self.count = 0

    def _build(self) -> CriService:
        return CriService(
            self.settings,
            images=self.images,
            handlers={"": self.handler},
            network=self.network,
            kernel=HostKernel(self.groups),
            clock=SystemClock(),
        )

    @property
    def engine(self) -> Engine:
        return self.service._engine

    async def start(self) -> None:
        await self.images.start()
        await self._import(archive())
        await self.service.start()

    async def _import(self, data: bytes) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        async for _ in ImageAdmin(self.images).import_archive(chunks()):
            pass

    async def image(self, name: str, *members: bytes, **config: Any) -> v1.ImageSpec:
        """busybox with a layer of these members (`tests.fixtures.oci`) above it, and this configuration."""
        layers = [_layer(), *([b"".join(members) + oci.END] if members else [])]
        built = oci.image(layers, {"Cmd": ["sh"], "Env": ["PATH=/bin"], **config}, compress=False)
        await self._import(oci.archive(built, f"docker.io/library/{name}:1"))
        return v1.ImageSpec(image=f"docker.io/library/{name}:1")

    async def restart(self) -> None:
        """Drop the service and build another one on what it left."""
        await self.service.aclose()
        self.service = self._build()
        await self.service.start()

    async def run(self, name: str = "", *, pid: int = v1.POD, network: int = v1.NODE, **changes: Any) -> str:
        """A sandbox. On the host's network unless asked otherwise: most tests are not about the network."""
        self.count += 1
        name = name or f"pod-{self.count}"
        config = v1.PodSandboxConfig(
            metadata=v1.PodSandboxMetadata(name=name, uid=ids.uid(), namespace="default"),
            hostname=name,
            log_directory=str(self.directory / "logs" / name),
            **changes,
        )
        options = config.linux.security_context.namespace_options
        options.pid, options.network = pid, network
        return (await self.service.run_pod_sandbox(v1.RunPodSandboxRequest(config=config))).pod_sandbox_id

    async def create(self, sandbox: str, *command: str, name: str = "", **changes: Any) -> str:
        held = self.engine.table.sandboxes[sandbox]
        self.count += 1
        name = name or f"c{self.count}"
        config = v1.ContainerConfig(
            metadata=v1.ContainerMetadata(name=name), image=v1.ImageSpec(image=IMAGE), command=command, log_path=f"{name}/0.log"
        )
        security = config.linux.security_context
        security.namespace_options.CopyFrom(held.config.linux.security_context.namespace_options)
        # As our kubelet says of every container; who wants another profile says so.
        security.seccomp.profile_type = v1.SecurityProfile.RuntimeDefault
        sandbox_config = changes.pop("sandbox_config", held.config)
        config.MergeFrom(v1.ContainerConfig(**changes))
        request = v1.CreateContainerRequest(pod_sandbox_id=sandbox, config=config, sandbox_config=sandbox_config)
        return (await self.service.create_container(request)).container_id

    async def started(self, sandbox: str, *command: str, **changes: Any) -> str:
        container = await self.create(sandbox, *command, **changes)
        await self.service.start_container(v1.StartContainerRequest(container_id=container))
        return container

    async def status(self, container: str) -> v1.ContainerStatus:
        return (await self.service.container_status(v1.ContainerStatusRequest(container_id=container))).status

    async def sandbox_status(self, sandbox: str) -> v1.PodSandboxStatus:
        return (await self.service.pod_sandbox_status(v1.PodSandboxStatusRequest(pod_sandbox_id=sandbox))).status

    def pid(self, container: str) -> int:
        """Host PID of the main process."""
        return self.engine.table.containers[container].record.pid

    def pause(self, sandbox: str) -> int:
        return self.engine.table.sandboxes[sandbox].record.pid

    async def over(self, container: str) -> v1.ContainerStatus:
        async with asyncio.timeout(15):
            await self.engine.table.containers[container].over.wait()
        return await self.status(container)

    async def stop(self, container: str, timeout: int) -> v1.ContainerStatus:
        await self.service.stop_container(v1.StopContainerRequest(container_id=container, timeout=timeout))
        return await self.status(container)

    async def exec(self, container: str, *command: str, timeout: int = 10) -> v1.ExecSyncResponse:
        return await self.service.exec_sync(v1.ExecSyncRequest(container_id=container, cmd=command, timeout=timeout))

    async def output(self, container: str, *command: str) -> str:
        result = await self.exec(container, *command)
        assert result.exit_code == 0, result
        return result.stdout.decode()

    def log(self, container: str) -> str:
        return Path(self.engine.table.containers[container].record.log_path).read_text()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - the kernel sends no event for it
                await asyncio.sleep(0.002)

    async def remove_all(self) -> None:
        for sandbox in list(self.engine.table.sandboxes):
            await self.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))

    def census(self) -> list[str]:
        """All that may be left of sandboxes and containers on this host."""
        text = str(self.directory)
        left = [f"mount {mount.target}" for mount in mountinfo.read() if mount.target.startswith(text)]
        left += [f"process {pid} {proc.command(pid)}" for pid in proc.pids() if _mentions(pid, text)]
        left += [f"cgroup {each}" for each in HostKernel(self.groups).child_cgroups(self.cgroup)]
        for place in (
            "run/sandboxes",
            "run/bundles",
            "run/containers",
            "run/exits",
            "state/sandboxes",
            "state/containers",
            "run-network/netns",
        ):
            left += [str(each) for each in (self.directory / place).glob("*")]
        left += [str(each) for each in (self.directory / "network").glob("ipam/**/*.*.*.*")]
        left += [str(each) for each in (self.directory / "network" / "attachments").glob("*")]
        left += [str(each) for each in (self.directory / "images" / "rootfs").glob("*")]
        left += [str(each) for each in self.mapped_roots.glob("*") if each.name != "pause"]
        return left

    async def close(self) -> None:
        try:
            await self.remove_all()
        finally:
            await self.service.aclose()
            await self.images.aclose()
            await self.groups.kill(self.cgroup)
            await self.network.teardown()
            self.groups.delete(self.cgroup)
            shutil.rmtree(self.mapped_roots, ignore_errors=True)
            with contextlib.suppress(OSError):
                self.mapped_roots.parent.rmdir()


def _mentions(pid: int, text: str) -> bool:
    try:
        return text.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def _node(directory: Path, runtime: str) -> AsyncIterator[Node]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in (runtime, "conmon", str(BUSYBOX), "nft"):
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            pytest.skip(f"needs {tool}")
    made = Node(directory, runtime)
    try:
        await made.start()
        yield made
        await made.remove_all()
        # conmon ends a moment after its container.
        with contextlib.suppress(TimeoutError):
            await made.until(lambda: not made.census())
        assert made.census() == []
    finally:
        await made.close()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async for made in _node(tmp_path, "crun"):
        yield made


@pytest.fixture(params=["crun", "runc"])
async def either(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    """A node over each of the runtimes."""
    async for made in _node(tmp_path, request.param):
        yield made


@pytest.fixture
async def runc_node(tmp_path: Path) -> AsyncIterator[Node]:
    async for made in _node(tmp_path, "runc"):
        yield made
