"""LimitRanges and ResourceQuotas over real Pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]


def sized(name: str, script: str = "exec sleep 1000", **resources: Json) -> Json:
    return pod(name, busybox("c", script, resources=resources), restartPolicy="Never")


@pytest.fixture
def limits(cluster: Cluster) -> Iterator[Json]:
    item = {
        "type": "Container",
        "min": {"cpu": "10m", "memory": "8Mi"},
        "max": {"cpu": "500m", "memory": "128Mi"},
        "default": {"cpu": "200m", "memory": "64Mi"},
        "defaultRequest": {"cpu": "20m", "memory": "16Mi"},
    }
    body = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}, "spec": {"limits": [item]}}
    yield cluster.create("limitranges", body)
    cluster.delete("limitranges", "limits")


@pytest.mark.behaviour("scheduling/limitrange")
def test_a_limit_range_gives_defaults_and_refuses_what_is_over_it(cluster: Cluster, limits: Json) -> None:
    made = cluster.run(sized("defaults", requests={"cpu": "30m"}))
    assert made["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "30m", "memory": "16Mi"},
        "limits": {"cpu": "200m", "memory": "64Mi"},
    }
    # The kernel enforces what was filled in.
    file = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
    assert cluster.sh("defaults", "c", f"cat {file} 2>/dev/null || true").split()[0] == str(64 * 1024 * 1024)
    for name, resources, message in (
        ("less", {"requests": {"cpu": "5m"}}, "minimum cpu usage per Container is 10m, but request is 5m"),
        ("more", {"limits": {"cpu": "600m"}}, "maximum cpu usage per Container is 500m, but limit is 600m"),
    ):
        with pytest.raises(Refused) as refused:
            cluster.create("pods", sized(name, **resources))
        assert (refused.value.code, refused.value.reason) == (403, "Forbidden")
        assert message in refused.value.message


@pytest.fixture
def quota(cluster: Cluster) -> Iterator[str]:
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "quota"},
        "spec": {"hard": {"pods": "5", "cpu": "500m", "memory": "64Mi", "configmaps": "2", "services": "0"}},
    }
    # Others of this module must not count.
    for each in cluster.list("pods"):
        cluster.delete("pods", each["metadata"]["name"], grace=0)
    eventually(lambda: not cluster.list("pods"), "no Pods")
    cluster.create("resourcequotas", body)
    yield "quota"
    cluster.delete("resourcequotas", "quota")


@pytest.mark.behaviour("machinery/quota")
def test_a_quota_follows_the_life_of_a_pod(cluster: Cluster, quota: str) -> None:
    def used(**expected: str) -> None:
        def look() -> bool:
            found = cluster.get("resourcequotas", quota)["status"].get("used", {})
            return {name: found.get(name) for name in expected} == expected

        eventually(look, f"used {expected}")

    # kube-root-ca.crt is one of the ConfigMaps.
    used(pods="0", cpu="0", memory="0", configmaps="1")
    cluster.run(sized("one", requests={"cpu": "100m", "memory": "16Mi"}))
    used(pods="1", cpu="100m", memory="16Mi")
    for name, resources, message in (
        (
            "big",
            {"requests": {"cpu": "600m", "memory": "16Mi"}},
            "quota: quota, requested: cpu=600m, used: cpu=100m, limited: cpu=500m",
        ),
        ("silent", {}, "failed quota: quota: must specify cpu for: c; memory for: c"),
    ):
        with pytest.raises(Refused) as refused:
            cluster.create("pods", sized(name, **resources))
        assert (refused.value.code, message in refused.value.message) == (403, True), refused.value
    used(pods="1", cpu="100m")
    cluster.create("pods", sized("brief", "true", requests={"cpu": "100m", "memory": "16Mi"}))
    cluster.phase("brief", "Succeeded")
    used(pods="1", cpu="100m", memory="16Mi")
    cluster.delete("pods", "one", grace=1)
    used(pods="0", cpu="0", memory="0")
    cluster.create("configmaps", {"metadata": {"name": "second"}})
    with pytest.raises(Refused) as refused:
        cluster.create("configmaps", {"metadata": {"name": "third"}})
    assert "exceeded quota: quota, requested: configmaps=1, used: configmaps=2, limited: configmaps=2" in refused.value.message
