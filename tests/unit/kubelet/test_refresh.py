"""A kubelet over doubles: what Pods show follows what they refer to, and whoever waits for an object does not wait longer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.unit.kubelet.conftest import Bench
from tests.unit.kubelet.doubles import UID, container, pod

from polong.objects.podreferences import CONFIG_MAP


def showing(**fields: Any) -> dict[str, Any]:
    return pod(container(**fields), volumes=[{"name": "v", "configMap": {"name": "web"}}])


def volume(bench: Bench) -> Path:
    return bench.config.root_dir / "pods" / UID / "volumes" / "kubernetes.io~configmap" / "v"


async def test_a_volume_follows_its_object(bench: Bench) -> None:
    bench.api.keep(CONFIG_MAP, "web", {"a": "1"})
    bench.api.create(showing())
    await bench.until(lambda: bench.runtime.live())
    assert (volume(bench) / "a").read_text() == "1"
    bench.api.keep(CONFIG_MAP, "web", {"a": "2", "b": "3"})
    await bench.until(lambda: (volume(bench) / "b").exists())
    assert (volume(bench) / "a").read_text() == "2"
    bench.api.keep(CONFIG_MAP, "web", None)
    await bench.until(lambda: bench.api.told("FailedMount"))
    assert bench.api.told("FailedMount") == ['MountVolume.SetUp failed for volume "v" : configmap "web" not found']
    assert (volume(bench) / "a").read_text() == "2"


async def test_after_a_restart_of_the_daemon_it_catches_up(bench: Bench) -> None:
    bench.api.keep(CONFIG_MAP, "web", {"a": "1"})
    bench.api.create(showing())
    await bench.until(lambda: bench.runtime.live())
    await bench.kubelet.aclose()
    bench.api.keep(CONFIG_MAP, "web", {"a": "2"})
    await bench.again()
    await bench.until(lambda: (volume(bench) / "a").read_text() == "2")
    assert len(bench.runtime.live()) == 1


async def test_a_pod_that_waits_for_its_volume_starts_when_that_can_be(bench: Bench) -> None:
    bench.api.create(showing())
    await bench.until(lambda: bench.api.told("FailedMount"))
    await bench.quiet()
    assert not bench.runtime.sandboxes
    bench.api.keep(CONFIG_MAP, "web", {"a": "1"})
    await bench.until(lambda: bench.runtime.live())


async def test_a_container_that_waits_for_its_environment_starts_when_that_can_be(bench: Bench) -> None:
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "a"}}}]
    bench.api.create(pod(container(env=env)))
    await bench.until(lambda: bench.api.told("Failed"))
    await bench.quiet()
    state = bench.api.status(UID)["containerStatuses"][0]["state"]["waiting"]
    assert state == {"reason": "CreateContainerConfigError", "message": 'configmap "web" not found'}
    bench.api.keep(CONFIG_MAP, "web", {"a": "1"})
    await bench.until(lambda: bench.runtime.live())
    (config,) = bench.runtime.configs.values()
    assert [(each.key, each.value) for each in config.envs] == [("X", "1")]


async def test_when_the_pod_goes_nothing_of_it_is_watched(bench: Bench) -> None:
    bench.api.keep(CONFIG_MAP, "web", {"a": "1"})
    bench.api.create(showing())
    await bench.until(lambda: bench.runtime.live())
    assert bench.api.followed()
    bench.api.delete(UID, grace=1)
    await bench.until(lambda: bench.api.deleted)
    await bench.until(lambda: not bench.api.followed())
    assert not volume(bench).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
async def test_a_token_is_renewed_in_its_file(bench: Bench) -> None:
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 1_000}}
    bench.api.token_life = 1_000
    bench.api.create(pod(container(), volumes=[{"name": "v", "projected": {"sources": [source]}}]))
    await bench.until(lambda: bench.runtime.live())
    token = bench.config.root_dir / "pods" / UID / "volumes" / "kubernetes.io~projected" / "v" / "token"
    assert token.read_text() == "default-1"
    await bench.clock.advance(790)
    await bench.quiet()
    assert token.read_text() == "default-1"
    await bench.clock.advance(30)
    await bench.until(lambda: token.read_text() == "default-2")
    bench.api.delete(UID, grace=1)
    await bench.until(lambda: bench.api.deleted)
