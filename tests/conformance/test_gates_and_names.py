"""Scheduling gates (KEP-3521), names of Pods (KEP-1797, KEP-4762) and environment from files (KEP-3721)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused, condition
from tests.e2e.cluster import Node, busybox, eventually, pod

Json = dict[str, Any]


@pytest.mark.behaviour("scheduling/gates", "examples/pod-with-scheduling-gates")
def test_a_gated_pod_waits_until_its_gates_are_gone(cluster: Cluster, node: Node) -> None:
    gates = [{"name": "example.org/one"}, {"name": "example.org/two"}]
    made = cluster.create("pods", pod("gated", busybox("c", "exec sleep 1000"), schedulingGates=gates))
    told = next(each for each in made["status"]["conditions"] if each["type"] == "PodScheduled")
    assert (told["status"], told["reason"]) == ("False", "SchedulingGated")
    assert told["message"] == "Scheduling is blocked due to non-empty scheduling gates"
    assert "SchedulingGated" in node.polong("get", "pod", "gated", "-n", cluster.namespace)
    with pytest.raises(Refused) as refused:
        cluster.create("pods", pod("bound", busybox("c", "true"), schedulingGates=gates, nodeName="n"))
    assert "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared" in refused.value.message
    with pytest.raises(Refused) as refused:
        cluster.patch("pods", "gated", [{"op": "add", "path": "/spec/schedulingGates/-", "value": {"name": "example.org/x"}}], kind="json")
    assert "only deletion is allowed, but found new scheduling gate 'example.org/x'" in refused.value.message
    target = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "gated"}, "target": {"kind": "Node", "name": "n"}}
    with pytest.raises(Refused) as refused:
        cluster.request("POST", cluster.path("pods", "gated", "binding"), target)
    assert "pod gated has non-empty .spec.schedulingGates" in refused.value.message
    # A narrower place may be chosen meanwhile.
    found = cluster.patch("pods", "gated", {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}, kind="merge")
    assert found["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    cluster.patch("pods", "gated", [{"op": "remove", "path": "/spec/schedulingGates/0"}], kind="json")
    assert condition(cluster.pod("gated"), "PodScheduled") == "False"
    assert "nodeName" not in cluster.pod("gated")["spec"]
    cluster.patch("pods", "gated", [{"op": "remove", "path": "/spec/schedulingGates/0"}], kind="json")
    assert cluster.ready("gated")["status"]["phase"] == "Running"


@pytest.mark.behaviour("network/names")
def test_the_names_of_a_pod(cluster: Cluster) -> None:
    domain = f"sub.{cluster.namespace}.svc.cluster.local"
    cluster.create("pods", pod("fqdn", busybox("c", "exec sleep 1000"), hostname="web", subdomain="sub", setHostnameAsFQDN=True))
    cluster.create("pods", pod("override", busybox("c", "exec sleep 1000"), subdomain="sub", hostnameOverride="db.example.org"))
    cluster.create("pods", pod("long", busybox("c", "true"), hostname="w" * 60, subdomain="sub", setHostnameAsFQDN=True))
    for name, expected, line in (("fqdn", f"web.{domain}", f"web.{domain}\tweb"), ("override", "db.example.org", "db.example.org")):
        address = cluster.ready(name)["status"]["podIP"]
        assert cluster.sh(name, "c", "hostname") == expected
        assert f"{address}\t{line}\n" in cluster.sh(name, "c", "cat /etc/hosts") + "\n"
    text = "failed to construct FQDN from Pod hostname and cluster domain, FQDN"

    def told() -> bool:
        events = cluster.list("events", fieldSelector="involvedObject.name=long,reason=FailedCreatePodSandBox")
        return any(text in each["message"] and "is too long (64 characters is the max" in each["message"] for each in events)

    eventually(told, "the name is too long")
    with pytest.raises(Refused) as refused:
        cluster.create("pods", pod("both", busybox("c", "true"), hostnameOverride="a", hostNetwork=True))
    assert "spec.hostnameOverride: Forbidden" in refused.value.message


WRITES = """cat > /made/app.env <<'EOF'
# made by the init container
NAME='value with = and "quotes"'

LINES='one
two'
EOF
ln -s /etc/passwd /made/link.env; printf 'NAME=bare\\n' > /made/bad.env"""


def fed(name: str, path: str, key: str = "NAME", **more: Any) -> Json:
    made = {"name": "made", "mountPath": "/made"}
    env = [{"name": "GOT", "valueFrom": {"fileKeyRef": {"volumeName": "made", "path": path, "key": key, **more}}}]
    init = {**busybox("init", WRITES, volumeMounts=[made]), "imagePullPolicy": "IfNotPresent"}
    volumes = [{"name": "made", "emptyDir": {}}]
    # The container itself need not mount it.
    return pod(name, busybox("c", 'echo "$GOT"', env=env), initContainers=[init], volumes=volumes, restartPolicy="Never")


@pytest.mark.behaviour("environment/file-key", "examples/inject-envars-file-container")
def test_an_init_container_makes_variables(cluster: Cluster) -> None:
    cluster.create("pods", fed("value", "app.env"))
    cluster.create("pods", fed("lines", "app.env", "LINES"))
    cluster.create("pods", fed("optional", "nothing.env", optional=True))
    for name, said in (("value", 'value with = and "quotes"\n'), ("lines", "one\ntwo\n"), ("optional", "\n")):
        cluster.phase(name, "Succeeded")
        assert cluster.core.read_namespaced_pod_log(name, cluster.namespace) == said
    for name, body, message in (
        ("nofile", fed("nofile", "nothing.env"), "file nothing.env of volume made not found"),
        ("nokey", fed("nokey", "app.env", "OTHER"), "couldn't find key OTHER in file app.env of volume made"),
        ("bare", fed("bare", "bad.env"), "line 1 is not of the form NAME='value'"),
        ("escape", fed("escape", "link.env"), "link.env"),
    ):
        cluster.create("pods", body)

        def waits(seen: Json, message: str = message) -> bool:
            waiting = (seen["status"].get("containerStatuses") or [{"state": {}}])[0]["state"].get("waiting") or {}
            return waiting.get("reason") == "CreateContainerConfigError" and message in waiting.get("message", "")

        cluster.until(name, waits, message)
    with pytest.raises(Refused) as refused:
        cluster.create("pods", fed("up", "../x.env"))
    assert "must be a relative path and must not contain '..'" in refused.value.message
