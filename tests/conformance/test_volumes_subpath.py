"""subPath and subPathExpr: parts of volumes, through restarts and updates, and against links that a container plants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, statuses
from tests.e2e.cluster import Node, busybox, eventually, pod

Json = dict[str, Any]

ITEM = {"path": "data", "fieldRef": {"fieldPath": "metadata.name"}}
SOURCES: dict[str, Json] = {
    "configmap": {"configMap": {"name": "parts"}},
    "secret": {"secret": {"secretName": "parts"}},
    "downward": {"downwardAPI": {"items": [ITEM]}},
    "projected": {"projected": {"sources": [{"configMap": {"name": "parts"}}]}},
}
ANNOTATION = {"name": "PART", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['part']"}}}


def waiting(told: Json, container: str) -> Json:
    found: Json = (statuses(told).get(container) or {}).get("state", {}).get("waiting") or {}
    return found


def expanding(name: str, part: str) -> Json:
    """The volume is mounted whole at /v and its part `$(PART)` at /part; PART is the Pod's annotation."""
    mounts = [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/part", "subPathExpr": "at/$(PART)"}]
    made = pod(name, busybox("c", "exec sleep 1000", env=[ANNOTATION], volumeMounts=mounts), volumes=[{"name": "v", "emptyDir": {}}])
    made["metadata"]["annotations"] = {"part": part}
    return made


@pytest.mark.behaviour("subpath/secret", "subpath/configmap", "subpath/configmap-file", "subpath/downward", "subpath/projected")
def test_files_of_objects_through_restarts_and_updates(cluster: Cluster) -> None:
    """A restart mounts what is there now; before it the old content stays readable, though its directory is gone."""
    cluster.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "parts"}, "data": {"data": "one"}})
    cluster.create("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "parts"}, "stringData": {"data": "one"}})
    mounts = [{"name": name, "mountPath": f"/part/{name}", "subPath": "data"} for name in SOURCES]
    mounts.append({"name": "configmap", "mountPath": "/etc/passwd", "subPath": "data"})
    mounts.append({"name": "configmap", "mountPath": "/whole"})
    script = "while [ ! -e /tmp/end ]; do sleep 0.2; done"
    volumes = [{"name": name, **source} for name, source in SOURCES.items()]
    cluster.run(pod("parts", busybox("c", script, volumeMounts=mounts), volumes=volumes))
    read = "cat /part/configmap /part/secret /part/downward /part/projected /etc/passwd"
    assert cluster.sh("parts", "c", read) == "oneonepartsoneone"
    cluster.patch("configmaps", "parts", {"data": {"data": "two"}}, kind="merge")
    cluster.patch("secrets", "parts", {"stringData": {"data": "two"}}, kind="merge")
    eventually(lambda: cluster.sh("parts", "c", "cat /whole/data") == "two", "the whole volume follows", 20)
    assert cluster.sh("parts", "c", read) == "oneonepartsoneone"
    cluster.sh("parts", "c", "touch /tmp/end")
    cluster.until("parts", lambda told: statuses(told)["c"]["restartCount"] == 1 and "running" in statuses(told)["c"]["state"], "restarts")
    eventually(lambda: cluster.sh("parts", "c", read) == "twotwopartstwotwo", "a new instance sees the new content", 20)


@pytest.mark.behaviour("environment/subpathexpr", "environment/subpathexpr-writes")
def test_a_part_named_by_the_environment(cluster: Cluster, node: Node) -> None:
    cluster.run(expanding("expanded", "mine"))
    assert cluster.sh("expanded", "c", "echo text > /part/file; cat /v/at/mine/file; stat -c %a /v/at/mine") == "text\n777"
    uid = cluster.pod("expanded")["metadata"]["uid"]
    own = node.root / "kubelet" / "pods" / uid
    assert (own / "volume-subpaths" / "v" / "c" / "1" / "file").read_text() == "text\n"
    cluster.patch("pods", "expanded", {"metadata": {"annotations": {"part": "../.."}}})
    cluster.delete("pods", "expanded", grace=1)
    cluster.gone("pods", "expanded")
    eventually(lambda: not own.exists(), "nothing of the volumes is left", 20)
    assert str(own) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.behaviour("environment/subpathexpr-backticks", "environment/subpathexpr-absolute", "environment/subpathexpr-mended")
def test_a_part_that_cannot_be_waits_until_it_is_mended(cluster: Cluster) -> None:
    climbing = expanding("climbing", "../..")
    absolute = expanding("absolute", "/tmp")
    absolute["spec"]["containers"][0]["volumeMounts"][1]["subPathExpr"] = "$(PART)"
    nameless = expanding("nameless", "x")
    nameless["spec"]["containers"][0]["volumeMounts"][1]["subPathExpr"] = "$(NOBODY)"
    texts = {
        "climbing": "unable to provision SubPath `at/../..`: must not contain '..'",
        "absolute": "error SubPath `/tmp` must not be an absolute path",
        "nameless": 'missing value for "NOBODY"',
    }
    for made in (climbing, absolute, nameless):
        cluster.create("pods", made)
    for name, text in texts.items():
        told = cluster.until(name, lambda told: waiting(told, "c").get("reason") == "CreateContainerConfigError", "waits")
        assert waiting(told, "c")["message"] == text
        assert statuses(told)["c"]["restartCount"] == 0
    cluster.patch("pods", "climbing", {"metadata": {"annotations": {"part": "mended"}}})
    cluster.ready("climbing", timeout=9)
    assert cluster.sh("climbing", "c", "ls -d /v/at/mended /part") == "/part\n/v/at/mended"


def test_links_of_a_container_lead_nowhere(cluster: Cluster, tmp_path: Path) -> None:
    """CVE-2017-1002101, CVE-2021-25741: a part that another container made a link to the host is not followed there."""
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "secret").write_text("canary")
    links = {"absolute": str(canary), "climbing": "../" * 20 + str(canary).lstrip("/"), "proc": "/proc/1/root"}
    plant = "; ".join(f"ln -s {target} /v/{name}" for name, target in links.items())
    inside = "mkdir /v/real; echo mine > /v/real/secret; ln -s real /v/inside"
    volume = [{"name": "v", "emptyDir": {}}]
    made = pod(
        "links",
        busybox("planter", f"{plant}; {inside}; touch /v/done; exec sleep 1000", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        *(
            busybox(name, "exec sleep 1000", volumeMounts=[{"name": "v", "mountPath": "/part", "subPath": name}])
            for name in (*links, "inside")
        ),
        volumes=volume,
    )
    # The others wait for the planter by an init container of the same volume.
    made["spec"]["initContainers"] = [
        {**busybox("init", f"{plant}; {inside}", volumeMounts=[{"name": "v", "mountPath": "/v"}]), "imagePullPolicy": "IfNotPresent"}
    ]
    made["spec"]["containers"] = made["spec"]["containers"][1:]
    cluster.create("pods", made)
    cluster.until("links", lambda told: "running" in statuses(told).get("inside", {}).get("state", {}), "runs inside")
    assert cluster.sh("links", "inside", "cat /part/secret") == "mine"
    for name in links:
        told = cluster.until("links", lambda told, name=name: waiting(told, name).get("reason") == "CreateContainerConfigError", "waits")
        assert waiting(told, name)["message"].startswith(f'failed to prepare subPath for volumeMount "v" of container "{name}"')
    assert [each.name for each in canary.iterdir()] == ["secret"]
