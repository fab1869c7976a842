"""Static Pods from a directory and their mirrors (Kubernetes' test/e2e_node/mirror_pod_test.go), on a node of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conformance.cluster import Cluster, Refused
from tests.e2e.cluster import Node, any_kubectl, busybox, eventually, pod

Json = dict[str, Any]

HASH = "kubernetes.io/config.hash"
WAITS = "trap 'exit 0' TERM; echo here $0; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Path]]:
    """A node and its directory of manifests."""
    if os.getuid() != 0:
        pytest.skip("needs root: containers are started for real")
    base = tmp_path_factory.mktemp("static")
    for name in ("home", "manifests"):
        (base / name).mkdir()
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "staticPodPath": "manifests",
        "podPidsLimit": 60,
    }
    (base / "kubelet.yaml").write_text(yaml.safe_dump(config))
    # One that is there before the node is.
    (base / "manifests" / "early.yaml").write_text(manifest("early"))
    node = Node(base / "root", base / "home")
    try:
        node.polong("up", "--port", "0", "--config", str(base / "kubelet.yaml"), timeout=90)
        node.import_images()
        yield node, base / "manifests"
    finally:
        node.down()
        assert not list(Path("/sys/fs/cgroup").glob(f"*/polong/*/kubepods/*/pod*{base.name}*"))


@pytest.fixture
def api(own: tuple[Node, Path]) -> Iterator[Cluster]:
    cluster = Cluster(own[0].root / "kubeconfig", "default")
    try:
        yield cluster
    finally:
        cluster.close()


def manifest(name: str, script: str = WAITS, **spec: Any) -> str:
    return yaml.safe_dump(pod(name, busybox("c", script), **spec))


def mirror_name(cluster: Cluster, name: str) -> str:
    (node,) = cluster.list("nodes", namespaced=False)
    return f"{name}-{node['metadata']['name']}"


def again(cluster: Cluster, name: str, uid: str) -> Json:
    """The mirror, once it is another object than `uid`, and ready."""

    def other() -> bool:
        try:
            return cluster.pod(name)["metadata"]["uid"] != uid
        except Refused as error:
            if error.code != 404:
                raise
            return False

    eventually(other, "the mirror is another one")
    return cluster.ready(name)


def appears(cluster: Cluster, name: str) -> Json:
    return again(cluster, name, "")


@pytest.mark.behaviour("static/mirror")
def test_a_file_becomes_a_pod_that_the_api_shows(own: tuple[Node, Path], api: Cluster) -> None:
    node, _ = own
    name = mirror_name(api, "early")
    found = appears(api, name)
    annotations = found["metadata"]["annotations"]
    assert annotations["kubernetes.io/config.source"] == "file"
    assert annotations["kubernetes.io/config.mirror"] == annotations[HASH] != found["metadata"]["uid"]
    assert annotations["kubernetes.io/config.seen"].endswith("Z")
    (owner,) = found["metadata"]["ownerReferences"]
    (its_node,) = api.list("nodes", namespaced=False)
    assert owner == {
        "apiVersion": "v1", "kind": "Node", "name": its_node["metadata"]["name"], "uid": its_node["metadata"]["uid"], "controller": True,
    }  # fmt: skip
    assert {"operator": "Exists", "effect": "NoExecute"} in found["spec"]["tolerations"]
    assert (found["metadata"]["generation"], found["status"].get("observedGeneration", 0)) == (1, 0)
    assert "serviceAccountName" not in found["spec"]
    # Everything that works with Pods works with it, by the mirror's name.
    assert api.exec(name, "c", "sh", "-c", "echo $HOSTNAME").stdout.strip() == name
    assert "here" in node.polong("logs", name)
    assert "sleep" in node.polong("ps", name)
    assert node.polong("files", name, "ls", "/bin").strip()
    program = any_kubectl()
    assert program is not None
    described = node.client(program)("describe", "pod", name)
    assert "Controlled By:  Node/" in described
    assert "Started container c" in described


@pytest.mark.behaviour("static/deleted-mirror")
@pytest.mark.parametrize("grace", [30, 0])
def test_a_deleted_mirror_comes_back_and_the_pod_runs_on(own: tuple[Node, Path], api: Cluster, grace: int) -> None:
    name = mirror_name(api, "early")
    before = appears(api, name)
    (was,) = before["status"]["containerStatuses"]
    api.delete("pods", name, grace=grace)
    after = again(api, name, before["metadata"]["uid"])
    (now,) = after["status"]["containerStatuses"]
    assert (now["containerID"], now["restartCount"]) == (was["containerID"], 0)
    assert after["status"]["startTime"] == before["status"]["startTime"]
    assert after["status"]["podIP"] == before["status"]["podIP"]


@pytest.mark.behaviour("static/file")
def test_a_changed_file_is_another_pod_and_a_removed_one_none(own: tuple[Node, Path], api: Cluster) -> None:
    _, manifests = own
    name = mirror_name(api, "changing")
    file = manifests / "changing.yaml"
    file.write_text(manifest("changing"))
    first = appears(api, name)
    file.write_text(manifest("changing", WAITS.replace("here", "there"), activeDeadlineSeconds=3000))
    second = again(api, name, first["metadata"]["uid"])
    assert second["metadata"]["annotations"][HASH] != first["metadata"]["annotations"][HASH]
    assert second["metadata"]["generation"] == 1
    assert second["spec"]["activeDeadlineSeconds"] == 3000
    eventually(lambda: "there" in api.core.read_namespaced_pod_log(name, "default"), "its log")
    # An editor that writes beside and renames is one change; a file with a dot in front is none.
    (manifests / ".changing.yaml.new").write_text(manifest("changing", WAITS.replace("here", "third")))
    (manifests / ".changing.yaml.new").rename(file)
    third = again(api, name, second["metadata"]["uid"])
    file.unlink()
    api.gone("pods", name)
    # The same file again is the same Pod again.
    file.write_text(manifest("changing", WAITS.replace("here", "third")))
    fourth = appears(api, name)
    assert fourth["metadata"]["annotations"][HASH] == third["metadata"]["annotations"][HASH]
    file.unlink()
    api.gone("pods", name)


@pytest.mark.behaviour("static/refused")
def test_what_cannot_be_taken_is_said_and_harms_nothing(own: tuple[Node, Path], api: Cluster) -> None:
    _, manifests = own
    early = appears(api, mirror_name(api, "early"))
    secret = [{"name": "v", "secret": {"secretName": "s"}}]
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]
    bad = {
        "secret.yaml": (manifest("secret", volumes=secret), "static pods may not reference secrets"),
        "account.yaml": (manifest("account", serviceAccountName="default"), "static pods may not reference serviceaccounts"),
        "map.yaml": (yaml.safe_dump(pod("map", busybox("c", "true", env=env))), "static pods may not reference configmaps"),
        "broken.yaml": ("kind: Pod\nspec: [", "broken.yaml"),
        "unknown.yaml": (manifest("unknown", colour="red"), 'unknown field "spec.colour"'),
        "service.yaml": ("{apiVersion: v1, kind: Service, metadata: {name: s}}", "must be of type Pod"),
        "twice.yaml": (manifest("early"), "is already in"),
        "invalid.yaml": (manifest("invalid", restartPolicy="Sometimes"), 'Unsupported value: "Sometimes"'),
        "nameless.yaml": ("{apiVersion: v1, kind: Pod, metadata: {}, spec: {containers: []}}", "metadata.name: Required value"),
    }
    (manifests / ".hidden.yaml").write_text(manifest("hidden"))
    (manifests / "directory").mkdir()
    for file, (text, _) in bad.items():
        (manifests / file).write_text(text)
    try:
        for file, (_, message) in bad.items():

            def told(file: str = file, message: str = message) -> bool:
                events = api.list("events", fieldSelector="reason=InvalidStaticPod")
                return any(f"/{file}: " in each["message"] and message in each["message"] for each in events)

            eventually(told, f"an Event about {file}: {message}")
        names = {each["metadata"]["name"] for each in api.list("pods")}
        assert names == {early["metadata"]["name"]}
        assert api.pod(early["metadata"]["name"])["metadata"]["uid"] == early["metadata"]["uid"]
        # A slip of the editor ends nothing.
        good = manifests / "good.yaml"
        good.write_text(manifest("good"))
        name = mirror_name(api, "good")
        uid = appears(api, name)["metadata"]["uid"]
        good.write_text("kind: Pod\n: [")
        eventually(lambda: any("/good.yaml: " in each["message"] for each in api.list("events")), "an Event about good.yaml")
        assert api.ready(name)["metadata"]["uid"] == uid
        good.unlink()
        api.gone("pods", name)
    finally:
        for file in bad:
            (manifests / file).unlink()
        (manifests / "directory").rmdir()


@pytest.mark.behaviour("static/restart")
def test_a_restarted_daemon_finds_its_static_pods(own: tuple[Node, Path], api: Cluster) -> None:
    node, manifests = own
    name = mirror_name(api, "early")
    before = appears(api, name)
    (manifests / "leaving.yaml").write_text(manifest("leaving"))
    leaving = mirror_name(api, "leaving")
    appears(api, leaving)
    node.polong("down", "--keep-pods")
    (manifests / "leaving.yaml").unlink()
    node.polong("up")
    after = api.ready(name)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    assert after["status"]["startTime"] == before["status"]["startTime"]
    api.gone("pods", leaving)


@pytest.mark.behaviour("pids/limit")
def test_a_pod_that_forks_without_end_harms_nobody(own: tuple[Node, Path], api: Cluster) -> None:
    forks = "trap 'exit 0' TERM; n=0; while [ $n -lt 200 ]; do sleep 1000 & n=$((n + 1)); done; wait"
    api.create("pods", pod("forks", busybox("c", forks), restartPolicy="Never"))
    api.phase("forks", "Failed")
    assert "can't fork" in api.core.read_namespaced_pod_log("forks", "default")
    assert api.exec(mirror_name(api, "early"), "c", "sh", "-c", "sleep 0 & wait; echo well").stdout.strip() == "well"
    api.delete("pods", "forks", grace=0)


@pytest.mark.behaviour("static/mirror")
def test_a_forged_mirror_reaches_nobody(own: tuple[Node, Path], api: Cluster) -> None:
    real = appears(api, mirror_name(api, "early"))
    forged = pod("forged", busybox("c", "true"))
    forged["metadata"]["annotations"] = {"kubernetes.io/config.mirror": real["metadata"]["annotations"][HASH]}
    api.create("pods", forged)
    api.gone("pods", "forged")
    with pytest.raises(Refused) as refused:
        api.patch(
            "pods", real["metadata"]["name"], {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}}, "resize"
        )
    assert "static pods cannot be resized" in refused.value.message
