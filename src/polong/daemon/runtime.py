"""The lower half of a node, which `polong cri` serves by itself: images, network, OCI runtime, and CRI over them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from pathlib import Path
from typing import Any

import polong
from polong.cni.network import PodNetwork
from polong.cri.engine import Handler, Settings
from polong.cri.host import HostKernel
from polong.cri.service import CriService
from polong.daemon.config import Config, RuntimeConfig
from polong.images.hosts import Hosts
from polong.images.service import ImageService
from polong.kit.clock import SystemClock
from polong.kit.errors import FailedPrecondition
from polong.oci import host as oci_host
from polong.oci.conmon import Conmon
from polong.oci.launch import BINARIES, Launcher
from polong.oci.runtime import Runtime

Json = dict[str, Any]

_log = logging.getLogger(__name__)


class RuntimeParts:
    """Built by its constructor, which touches nothing but directories of its own; `start` takes over what an earlier run left."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._config = config
        for directory in (config.run_dir, config.containers_dir):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._opened = contextlib.AsyncExitStack()
        self.network = PodNetwork(
            node_id=config.node_id,
            pod_cidr=config.pod_cidr,
            service_cidr=config.service_cidr if isinstance(config, Config) else "",
            state_dir=config.root / "network",
            run_dir=config.run_dir / "network",
        )
        launcher = Launcher(config.runtime, config.run_dir)
        handler = Handler(Runtime(launcher, config.run_dir), Conmon(launcher, config.run_dir))
        self._kernel = HostKernel(launcher.groups)
        self.images = ImageService(
            config.images_dir,
            in_use=lambda: self.cri.images_in_use(),
            hosts=Hosts(config.registries, loopback_http=True),
            mapped_roots=config.mapped_roots,
        )
        settings = Settings(
            state_dir=config.containers_dir,
            run_dir=config.run_dir,
            cgroup_parent=config.cgroup_parent,
            pause=BINARIES / "pause",
            host=oci_host.probe(),
            seccomp_default=_seccomp(),
            version=polong.__version__,
            mapped_roots=config.mapped_roots,
            nri_socket=config.nri_socket,
        )
        self.cri = CriService(
            settings,
            images=self.images,
            handlers={"": handler, launcher.name: handler},
            network=self.network,
            kernel=self._kernel,
            clock=SystemClock(),
        )

    async def start(self) -> None:
        """What an earlier run left is taken over before anyone can ask."""
        await self.images.start()
        self._opened.push_async_callback(self.images.aclose)
        await self.cri.start()
        self._opened.push_async_callback(self.cri.aclose)

    async def aclose(self) -> None:
        """Containers live on. Idempotent."""
        await self._opened.aclose()

    async def clear(self) -> None:
        """After `aclose`, with no sandbox left: take down what only a running node needs, network, cgroups, run directory."""
        config = self._config
        await self.network.teardown()
        for cgroup in [*self._kernel.child_cgroups(config.cgroup_parent), config.cgroup_parent]:
            self._kernel.remove_cgroup(cgroup)
        self._kernel.remove_empty_cgroup(str(Path(config.cgroup_parent).parent))
        for made in (config.run_dir, config.mapped_roots):
            await asyncio.to_thread(shutil.rmtree, made)
        for directory in (config.mapped_roots.parent, config.run_dir.parent):
            with contextlib.suppress(OSError):
                directory.rmdir()


def _seccomp() -> Json | None:
    try:
        return oci_host.default_seccomp()
    except FailedPrecondition as error:
        _log.warning("%s", error)
        return None
