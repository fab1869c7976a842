"""Pods with users of their own (hostUsers: false), among them ones that share a process namespace."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster
from tests.e2e.cluster import busybox, pod

Json = dict[str, Any]
IDS = 65_536


def first_id(text: str) -> int:
    inside, outside, count = map(int, text.split())
    assert (inside, count) == (0, IDS)
    return outside


@pytest.mark.behaviour("security/user-namespaces", "pid-stop/own-proc")
def test_users_of_their_own(cluster: Cluster) -> None:
    cluster.create("configmaps", {"metadata": {"name": "told"}, "data": {"key": "value"}})
    mounts = [{"name": "scratch", "mountPath": "/scratch"}, {"name": "told", "mountPath": "/told"}]
    app = {**busybox("app", "echo mine > /scratch/file; cat /told/key; sleep 1000"), "volumeMounts": mounts}
    side = {**busybox("side", "sleep 1000"), "volumeMounts": mounts}
    volumes = [{"name": "scratch", "emptyDir": {}}, {"name": "told", "configMap": {"name": "told"}}]
    cluster.create("pods", pod("shared", app, side, shareProcessNamespace=True, hostUsers=False, volumes=volumes))
    unmasked = {**busybox("unmasked", "sleep 1000"), "securityContext": {"procMount": "Unmasked"}}
    cluster.create("pods", pod("alone", unmasked, hostUsers=False))
    cluster.ready("shared")
    cluster.ready("alone")

    ids = first_id(cluster.exec("shared", "app", "cat", "/proc/self/uid_map").stdout)
    assert ids == first_id(cluster.exec("shared", "side", "cat", "/proc/self/gid_map").stdout)
    assert abs(ids - first_id(cluster.exec("alone", "unmasked", "cat", "/proc/self/uid_map").stdout)) >= IDS
    assert "/pause" in cluster.exec("shared", "side", "ps", "ax").stdout
    seen = cluster.sh("shared", "side", "cat /proc/[0-9]*/cmdline")
    assert "/pause" in seen
    assert "mine" in cluster.exec("shared", "side", "cat", "/scratch/file").stdout
    assert cluster.exec("shared", "side", "stat", "-c", "%u:%g", "/scratch/file").stdout == "0:0\n"
    assert cluster.exec("shared", "side", "cat", "/told/key").stdout == "value"
    assert cluster.sh("shared", "app", "cat /proc/keys | wc -c") == "0"
    assert cluster.sh("alone", "unmasked", "cat /proc/interrupts | wc -c") != "0"
