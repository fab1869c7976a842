"""A kubelet over doubles, started; its clock stands still until a test moves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.kubelet.doubles import FakeApi, FakeCgroups, FakeClock, FakeImages, FakeRuntime, settle

from polong.kubelet.agent import Kubelet
from polong.kubelet.config import DnsConfig, KubeletConfig
from polong.kubelet.host.cgroups import PodCgroups

Json = dict[str, Any]


@dataclass
class Bench:
    kubelet: Kubelet
    api: FakeApi
    runtime: FakeRuntime
    images: FakeImages
    clock: FakeClock
    cgroups: FakeCgroups
    config: KubeletConfig

    async def until(self, condition: Callable[[], Any], seconds: float = 5.0) -> None:
        """Real time: only threads (files) are waited for; the clock of the kubelet stands still."""
        async with asyncio.timeout(seconds):
            while not condition():
                await settle(5)
                await asyncio.sleep(0.001)

    async def quiet(self) -> None:
        """Let everything that is under way come to its end."""
        for _ in range(8):
            await settle()
            await asyncio.sleep(0.004)
        await asyncio.sleep(0.25)
        await settle()

    async def again(self) -> None:
        """The daemon stops and starts: a new kubelet over the same world."""
        await self.kubelet.aclose()
        self.kubelet = make(self)
        await self.kubelet.start()


def make(bench: Bench, complete: Callable[[Any], Json] = dict) -> Kubelet:
    cgroups = cast("PodCgroups", bench.cgroups)
    return Kubelet(bench.config, bench.api, bench.runtime, bench.images, clock=bench.clock, cgroups=cgroups, complete=complete)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    config = KubeletConfig(
        node_name="node",
        root_dir=tmp_path / "kubelet",
        log_dir=tmp_path / "logs",
        cgroup_parent="/test",
        dns=DnsConfig(("10.0.0.1",), ("example.test",)),
        node_ip="192.0.2.10",
        heartbeat=1e6,
        relist=1e6,
        collect=1e6,
    )
    clock = FakeClock()
    made = Bench(cast("Kubelet", None), FakeApi(), FakeRuntime(clock), FakeImages("busybox:1.28"), clock, FakeCgroups(), config)
    made.api.clock = clock
    made.kubelet = make(made)
    await made.kubelet.start()
    yield made
    await made.kubelet.aclose()
