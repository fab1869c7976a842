"""PersistentVolumeClaims: directories of the node that outlive Pods."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]
CLAIMS = "persistentvolumeclaims"


def claim(name: str, **spec: Any) -> Json:
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": asked}


def bound(cluster: Cluster, name: str) -> Json:
    found: Json = {}

    def look() -> bool:
        nonlocal found
        found = cluster.get(CLAIMS, name)
        return bool(found["status"]["phase"] == "Bound")

    eventually(look, f"claim {name} is bound")
    return found


def user(name: str, script: str, claim_name: str, *, read_only: bool = False, **spec: Any) -> Json:
    mount = {"name": "data", "mountPath": "/data"}
    source = {"claimName": claim_name, **({"readOnly": True} if read_only else {})}
    return pod(name, busybox("c", script, volumeMounts=[mount]), volumes=[{"name": "data", "persistentVolumeClaim": source}], **spec)


def test_what_is_written_outlives_the_pod(cluster: Cluster) -> None:
    cluster.create(CLAIMS, claim("data"))
    found = bound(cluster, "data")
    assert found["spec"]["volumeName"] == f"pvc-{found['metadata']['uid']}"
    assert (found["spec"]["storageClassName"], found["status"]["capacity"]) == ("standard", {"storage": "1Gi"})
    cluster.create("pods", user("writer", "echo kept > /data/file", "data", restartPolicy="Never"))
    cluster.phase("writer", "Succeeded")
    cluster.delete("pods", "writer", grace=0)
    cluster.run(user("reader", "exec sleep 1000", "data", read_only=True))
    assert cluster.sh("reader", "c", "cat /data/file") == "kept"
    assert cluster.exec("reader", "c", "touch", "/data/more").code != 0


def test_a_claim_in_use_stays_until_its_last_pod_is_gone(cluster: Cluster) -> None:
    cluster.create(CLAIMS, claim("busy"))
    cluster.run(user("user", "exec sleep 1000", "busy"))
    cluster.delete(CLAIMS, "busy")
    assert cluster.get(CLAIMS, "busy")["metadata"]["deletionTimestamp"]
    assert cluster.sh("user", "c", "touch /data/x; ls /data") == "x"
    cluster.delete("pods", "user", grace=1)
    cluster.gone(CLAIMS, "busy")
    # A claim of the same name begins anew.
    cluster.create(CLAIMS, claim("busy"))
    cluster.run(user("next", "exec sleep 1000", "busy"))
    assert cluster.sh("next", "c", "ls /data") == ""


def test_a_pod_waits_for_its_claim(cluster: Cluster) -> None:
    cluster.create("pods", user("early", "exec sleep 1000", "late"))
    found = cluster.event("early", "FailedScheduling")
    assert 'persistentvolumeclaim "late" not found' in found["message"]
    cluster.create(CLAIMS, claim("late"))
    cluster.ready("early")


def test_another_class_is_not_there(cluster: Cluster) -> None:
    cluster.create(CLAIMS, claim("fast", storageClassName="fast"))
    assert 'storageclass.storage.k8s.io "fast" not found' in cluster.event("fast", "ProvisioningFailed")["message"]
    assert cluster.get(CLAIMS, "fast")["status"]["phase"] == "Pending"
    with pytest.raises(Refused) as refused:
        cluster.create(CLAIMS, claim("block", volumeMode="Block"))
    assert refused.value.code == 422
