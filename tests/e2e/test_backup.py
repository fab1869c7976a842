"""`polong backup` and `polong restore` on a node that runs: Pods come back as they were, and run."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Client, eventually

Json = dict[str, Any]


def pod(name: str) -> Json:
    containers = [{"name": "c", "image": "busybox:1.28", "command": ["sleep", "1000"]}]
    spec = {"shareProcessNamespace": True, "terminationGracePeriodSeconds": 1, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_pods_come_back_and_run(polong: Client, tmp_path: Path) -> None:
    file = tmp_path / "state.backup"
    polong.apply(pod("stays"), pod("returns"))
    polong("create", "-f", "-", stdin="{apiVersion: v1, kind: ConfigMap, metadata: {name: held}, data: {a: b}}")
    polong.ready("stays")
    polong.ready("returns")
    uids = {name: polong.json("get", "pod", name)["metadata"]["uid"] for name in ("stays", "returns")}
    started = polong.json("get", "pod", "stays")["status"]["containerStatuses"][0]["containerID"]
    try:
        assert "bytes" in polong("backup", str(file))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        polong.delete("returns")
        polong("delete", "configmap", "held")
        polong.apply(pod("late"))
        before = int(polong.json("get", "pod", "late")["metadata"]["resourceVersion"])
        assert "(dry run)" in polong("restore", str(file), "--dry-run")
        assert "late" in polong("get", "pods", "-o", "name")
        assert "2 created" in polong("restore", str(file))
        assert {one["metadata"]["name"]: one["metadata"]["uid"] for one in polong.json("get", "pods")["items"]} == uids
        assert int(polong.json("get", "pod", "returns")["metadata"]["resourceVersion"]) > before
        assert polong.json("get", "configmap", "held")["data"] == {"a": "b"}
        assert polong.json("get", "pod", "stays")["status"]["containerStatuses"][0]["containerID"] == started
        # Its old containers are gone with the Pod that was deleted; it runs in new ones.
        eventually(lambda: "sleep" in polong.try_("exec", "returns", "--", "ps").stdout, "the restored Pod runs", 60)
        polong.ready("returns")
    finally:
        for name in ("stays", "returns", "late"):
            polong.delete(name)
        polong("delete", "configmap", "held", "--ignore-not-found")
    (tmp_path / "no").write_text("nothing")
    refused = polong.try_("restore", str(tmp_path / "no"))
    assert (refused.returncode, "cannot restore: the file is no backup" in refused.stderr) == (1, True)
    assert "Traceback" not in refused.stderr
