"""ConfigMap, Secret, downward API and projected volumes, read from inside. Two Pods, started side by side: one with a root and a nonroot
container, one with a group of its own."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]

BYTES = bytes(range(256))
SOON = 20.0
READ = 0o400
GROUP_READ = 0o440


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def field(path: str, name: str, **more: Any) -> Json:
    return {"path": path, "fieldRef": {"fieldPath": f"metadata.{name}"}, **more}


def resource(path: str, name: str, container: str, divisor: str = "1") -> Json:
    return {"path": path, "resourceFieldRef": {"containerName": container, "resource": name, "divisor": divisor}}


RESOURCES = [
    resource("limits-cpu", "limits.cpu", "root", "1m"),
    resource("limits-memory", "limits.memory", "root", "1Mi"),
    resource("requests-cpu", "requests.cpu", "root"),
    resource("requests-memory", "requests.memory", "root", "1Ki"),
    resource("node-cpu", "limits.cpu", "nonroot"),
    resource("node-memory", "limits.memory", "nonroot", "1Mi"),
]
ITEMS: list[Json] = [{"key": "data-2", "path": "path/to/data-2"}]
ITEMS_MODE: list[Json] = [{"key": "data-2", "path": "path/to/data-2", "mode": READ}]
FIELDS = [field("name", "name"), field("labels", "labels"), field("annotations", "annotations"), field("private", "name", mode=READ)]

VOLUMES: dict[str, Json] = {
    "cm": {"configMap": {"name": "web"}},
    "cm-again": {"configMap": {"name": "web"}},
    "cm-mode": {"configMap": {"name": "web", "defaultMode": READ}},
    "cm-items": {"configMap": {"name": "web", "items": ITEMS}},
    "cm-item-mode": {"configMap": {"name": "web", "items": ITEMS_MODE}},
    "cm-binary": {"configMap": {"name": "binary"}},
    "secret": {"secret": {"secretName": "key"}},
    "secret-again": {"secret": {"secretName": "key"}},
    "secret-mode": {"secret": {"secretName": "key", "defaultMode": READ}},
    "secret-items": {"secret": {"secretName": "key", "items": ITEMS}},
    "secret-item-mode": {"secret": {"secretName": "key", "items": ITEMS_MODE}},
    "down": {"downwardAPI": {"items": [*FIELDS, *RESOURCES]}},
    "down-mode": {"downwardAPI": {"items": FIELDS[:1], "defaultMode": READ}},
    "p-all": {
        "projected": {
            "sources": [
                {"secret": {"name": "key", "items": [{"key": "data-1", "path": "secret-data"}]}},
                {"configMap": {"name": "web", "items": [{"key": "data-1", "path": "cm-data"}]}},
                {"downwardAPI": {"items": FIELDS}},
            ]
        }
    },
    "p-cm": {"projected": {"sources": [{"configMap": {"name": "web"}}]}},
    "p-cm-again": {"projected": {"sources": [{"configMap": {"name": "web"}}]}},
    "p-cm-mode": {"projected": {"sources": [{"configMap": {"name": "web"}}], "defaultMode": READ}},
    "p-cm-items": {"projected": {"sources": [{"configMap": {"name": "web", "items": ITEMS}}]}},
    "p-cm-item-mode": {"projected": {"sources": [{"configMap": {"name": "web", "items": ITEMS_MODE}}]}},
    "p-secret": {"projected": {"sources": [{"secret": {"name": "key"}}]}},
    "p-secret-again": {"projected": {"sources": [{"secret": {"name": "key"}}]}},
    "p-secret-mode": {"projected": {"sources": [{"secret": {"name": "key"}}], "defaultMode": READ}},
    "p-secret-items": {"projected": {"sources": [{"secret": {"name": "key", "items": ITEMS}}]}},
    "p-secret-item-mode": {"projected": {"sources": [{"secret": {"name": "key", "items": ITEMS_MODE}}]}},
    "p-down": {"projected": {"sources": [{"downwardAPI": {"items": [*FIELDS, *RESOURCES]}}]}},
    "p-down-mode": {"projected": {"sources": [{"downwardAPI": {"items": FIELDS[:1]}}], "defaultMode": READ}},
}
OPTIONAL: dict[str, Json] = {
    "o-cm": {"configMap": {"name": "late", "optional": True}},
    "o-secret": {"secret": {"secretName": "late", "optional": True}},
    "o-p-cm": {"projected": {"sources": [{"configMap": {"name": "late", "optional": True}}]}},
    "o-p-secret": {"projected": {"sources": [{"secret": {"name": "late", "optional": True}}]}},
}


def mounting(name: str, volumes: dict[str, Json], **fields: Any) -> Json:
    mounts = [{"name": each, "mountPath": f"/v/{each}"} for each in volumes]
    return busybox(name, "exec sleep 1000", volumeMounts=mounts, **fields)


def listed(volumes: dict[str, Json]) -> list[Json]:
    return [{"name": name, **source} for name, source in volumes.items()]


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> Cluster:
    cluster.create("configmaps", config_map("web", **{"data-1": "one", "data-2": "two"}))
    cluster.create("configmaps", {**config_map("binary", text="plain"), "binaryData": {"bin": base64.b64encode(BYTES).decode()}})
    cluster.create("secrets", secret("key", **{"data-1": "one", "data-2": "two"}))
    sized = {"limits": {"cpu": "1250m", "memory": "64Mi"}, "requests": {"cpu": "250m", "memory": "32Mi"}}
    every = {**VOLUMES, **OPTIONAL}
    made = pod(
        "read",
        mounting("root", every, resources=sized),
        mounting("nonroot", every, securityContext={"runAsUser": 1000}),
        volumes=listed(every),
    )
    made["metadata"] |= {"labels": {"key1": "value1", "key2": "value2"}, "annotations": {"builder": "bar"}}
    cluster.create("pods", made)
    grouped = {
        "s": {"secret": {"secretName": "key", "defaultMode": GROUP_READ}},
        "p": {"projected": {"sources": [{"secret": {"name": "key"}}], "defaultMode": GROUP_READ}},
        "c": {"configMap": {"name": "web", "defaultMode": READ}},
        "d": {"projected": {"sources": [{"configMap": {"name": "web", "items": ITEMS}}]}},
    }
    context = {"runAsUser": 1000, "fsGroup": 1001}
    cluster.create("pods", pod("grouped", mounting("c", grouped), volumes=listed(grouped), securityContext=context))
    cluster.ready("read")
    cluster.ready("grouped")
    return cluster


@pytest.fixture(scope="module")
def seen(pods: Cluster) -> dict[str, tuple[str, str]]:
    """Every file of the big Pod, as root sees it: path to (mode, content)."""
    files = "$(find -L . -type f | grep -v '/\\.\\.' | grep -v binary)"
    script = f"cd /v; for f in {files}; do echo \"$f|$(stat -L -c %a $f)|$(cat $f | tr '\\n' ';')\"; done"
    found = {}
    for line in pods.sh("read", "root", script).splitlines():
        path, mode, text = line.split("|", 2)
        found[path.removeprefix("./")] = (mode, text)
    return found


@pytest.mark.behaviour(
    "configmap/default-mode",
    "configmap/mode",
    "configmap/items",
    "configmap/item-mode",
    "configmap/two-volumes",
    "secret/default-mode",
    "secret/mode",
    "secret/items",
    "secret/item-mode",
    "secret/two-volumes",
)
@pytest.mark.parametrize("kind", ["cm", "secret", "p-cm", "p-secret"])
def test_files_of_objects(seen: dict[str, tuple[str, str]], kind: str) -> None:
    def of(volume: str) -> dict[str, tuple[str, str]]:
        return {path.removeprefix(f"{volume}/"): file for path, file in seen.items() if path.startswith(f"{volume}/")}

    assert of(kind) == of(f"{kind}-again") == {"data-1": ("644", "one"), "data-2": ("644", "two")}
    assert of(f"{kind}-mode") == {"data-1": ("400", "one"), "data-2": ("400", "two")}
    assert of(f"{kind}-items") == {"path/to/data-2": ("644", "two")}
    assert of(f"{kind}-item-mode") == {"path/to/data-2": ("400", "two")}


@pytest.mark.behaviour("configmap/nonroot", "configmap/items-nonroot", "projected/configmap")
def test_another_user_reads_what_its_mode_lets_it(pods: Cluster) -> None:
    assert pods.sh("read", "nonroot", "id -u; cat /v/cm/data-1 /v/cm-items/path/to/data-2 /v/p-cm/data-1") == "1000\nonetwoone"
    for path in ("cm-mode/data-1", "secret-mode/data-1", "p-cm-item-mode/path/to/data-2"):
        refused = pods.exec("read", "nonroot", "cat", f"/v/{path}")
        assert refused.code != 0
        assert "Permission denied" in refused.stderr


@pytest.mark.behaviour("secret/nonroot-fsgroup", "projected/secret")
def test_the_group_of_the_pod_reads(pods: Cluster) -> None:
    script = "cd /v; stat -L -c '%a %g' s/data-1 p/data-1 c/data-1 d/path/to/data-2; cat s/data-1 p/data-1 c/data-1; id -G"
    lines = pods.sh("grouped", "c", script).splitlines()
    assert lines[:4] == ["440 1001", "440 1001", "440 1001", "644 1001"]
    assert lines[4].startswith("oneoneone")
    assert "1001" in lines[-1].split()


@pytest.mark.behaviour("configmap/binary")
def test_bytes_stay_bytes(pods: Cluster) -> None:
    assert base64.b64decode(pods.sh("read", "root", "base64 /v/cm-binary/bin")) == BYTES
    assert pods.sh("read", "root", "cat /v/cm-binary/text") == "plain"


@pytest.mark.behaviour(
    "downward/name", "downward/mode", "downward/item-mode", "downward/resources", "downward/allocatable", "projected/downward"
)
@pytest.mark.parametrize("volume", ["down", "p-down"])
def test_a_pod_reads_of_itself(seen: dict[str, tuple[str, str]], pods: Cluster, volume: str) -> None:
    (node,) = pods.list("nodes", namespaced=False)
    assert seen[f"{volume}/name"] == ("644", "read")
    assert seen[f"{volume}/private"] == ("400", "read")
    assert seen[f"{volume}-mode/name"] == ("400", "read")
    values = {name: seen[f"{volume}/{name}"][1] for name in ("limits-cpu", "limits-memory", "requests-cpu", "requests-memory")}
    assert values == {"limits-cpu": "1250", "limits-memory": "64", "requests-cpu": "1", "requests-memory": str(32 * 1024)}
    assert seen[f"{volume}/node-cpu"][1] == node["status"]["allocatable"]["cpu"]
    kibibytes = int(node["status"]["allocatable"]["memory"].removesuffix("Ki"))
    assert int(seen[f"{volume}/node-memory"][1]) == -(-kibibytes // 1024)


@pytest.mark.behaviour("projected/combined")
def test_one_volume_of_three_sources(seen: dict[str, tuple[str, str]]) -> None:
    found = {path: text for path, (_, text) in seen.items() if path.startswith("p-all/")}
    assert found["p-all/secret-data"] == "one"
    assert found["p-all/cm-data"] == "one"
    assert found["p-all/name"] == "read"


@pytest.mark.behaviour("wrapper/no-conflict")
def test_secret_and_configmap_do_not_meet(pods: Cluster) -> None:
    assert pods.sh("read", "root", "touch /v/cm/mine 2>&1 || true").endswith("Read-only file system")
    mounts = pods.sh("read", "root", "grep ' /v/' /proc/mounts").splitlines()
    kinds = {line.split()[1].removeprefix("/v/"): line.split()[2] for line in mounts}
    assert {kinds[name] for name in ("secret", "p-all", "down")} == {"tmpfs"}
    assert kinds["cm"] != "tmpfs"


@pytest.mark.behaviour("configmap/update", "projected/configmap", "projected/secret")
def test_an_update_is_seen_whole(pods: Cluster) -> None:
    """A reader that reads both keys through one directory never sees half of an update."""
    watcher = (
        "for i in $(seq 2000); do d=$(readlink /v/cm-two/..data); a=$(cat /v/cm-two/$d/a 2>/dev/null); b=$(cat /v/cm-two/$d/b 2>/dev/null);"
        ' [ "$a" = "$b" ] || [ ! -d /v/cm-two/$d ] || echo "torn $a $b"; [ "$a" = done ] && break; sleep 0.01; done'
    )
    pods.create("configmaps", config_map("two", a="0", b="0"))
    pods.create("secrets", secret("two", a="0"))
    volumes = {
        "cm-two": {"configMap": {"name": "two"}},
        "p-two": {"projected": {"sources": [{"configMap": {"name": "two"}}]}},
        "s-two": {"secret": {"secretName": "two"}},
    }
    pods.run(
        pod(
            "update",
            busybox("w", f"{watcher}; exec sleep 1000", volumeMounts=mounting("x", volumes)["volumeMounts"]),
            volumes=listed(volumes),
        )
    )
    script = "cat /v/cm-two/a /v/cm-two/b /v/p-two/a /v/s-two/a"
    for value in ("1", "2", "3", "done"):
        pods.patch("configmaps", "two", {"data": {"a": value, "b": value}}, kind="merge")
        pods.patch("secrets", "two", {"stringData": {"a": value}}, kind="merge")
        eventually(lambda value=value: pods.sh("update", "w", script) == value * 4, f"{value} is seen", SOON)
    eventually(lambda: "sleep" in pods.sh("update", "w", "tr '\\0' ' ' < /proc/1/cmdline"), "the watcher ended", SOON)
    assert pods.logs("update") == ""
    assert pods.sh("update", "w", "ls -a /v/cm-two | grep -c '^\\.\\.2'") == "1"


@pytest.mark.behaviour("configmap/optional-update", "secret/optional-update", "projected/configmap", "projected/secret")
def test_optional_ones_come_change_and_go(pods: Cluster) -> None:
    def all_show(text: str) -> bool:
        return pods.sh("read", "root", "cat /v/o-*/key 2>/dev/null || true") == text * 4

    assert all_show("")
    pods.create("configmaps", config_map("late", key="1"))
    pods.create("secrets", secret("late", key="1"))
    eventually(lambda: all_show("1"), "they appear", SOON)
    for plural, where in (("configmaps", "data"), ("secrets", "stringData")):
        pods.patch(plural, "late", {where: {"key": "2"}}, kind="merge")
    eventually(lambda: all_show("2"), "they change", SOON)
    for plural in ("configmaps", "secrets"):
        pods.delete(plural, "late")
    eventually(lambda: all_show(""), "they vanish", SOON)


@pytest.mark.behaviour("downward/labels", "downward/annotations", "projected/downward")
def test_labels_and_annotations_follow(pods: Cluster) -> None:
    script = "cat /v/down/labels; echo; cat /v/p-down/labels; echo; cat /v/down/annotations; echo; cat /v/p-down/annotations"
    before = 'key1="value1"\nkey2="value2"'
    assert pods.sh("read", "root", script) == f'{before}\n{before}\nbuilder="bar"\nbuilder="bar"'
    change = {"metadata": {"labels": {"key3": "value3"}, "annotations": {"builder": "foo"}}}
    pods.patch("pods", "read", change)
    after = f'{before}\nkey3="value3"'
    eventually(lambda: pods.sh("read", "root", script) == f'{after}\n{after}\nbuilder="foo"\nbuilder="foo"', "both follow", SOON)


@pytest.mark.behaviour("configmap/missing")
def test_what_is_missing_keeps_a_pod_pending_and_is_told(pods: Cluster) -> None:
    cases: dict[str, tuple[Json, str]] = {
        "no-map": ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        "no-secret": ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
        "no-key": ({"configMap": {"name": "web", "items": [{"key": "x", "path": "x"}]}}, "references non-existent config key: x"),
        "no-secret-key": ({"secret": {"secretName": "key", "items": [{"key": "x", "path": "x"}]}}, "references non-existent secret key: x"),
    }
    for name, (source, _) in cases.items():
        pods.create("pods", pod(name, mounting("c", {"v": source}), volumes=listed({"v": source})))
    for name, (_, text) in cases.items():
        event = pods.event(name, "FailedMount")
        assert event["type"] == "Warning"
        assert event["message"].startswith('MountVolume.SetUp failed for volume "v" : ')
        assert event["message"].endswith(text)
        assert pods.pod(name)["status"]["phase"] == "Pending"
    pods.create("configmaps", config_map("none", a="1"))
    pods.ready("no-map", timeout=10)
    pods.delete("configmaps", "none")


@pytest.mark.behaviour("secret/other-namespace")
def test_one_of_the_same_name_elsewhere_is_another(pods: Cluster) -> None:
    other = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine"}, "stringData": {"key": "theirs"}}
    pods.request("POST", "/api/v1/namespaces/default/secrets", other)
    try:
        source = {"secret": {"secretName": "mine"}}
        pods.create("pods", pod("own", mounting("c", {"v": source}), volumes=listed({"v": source})))
        pods.event("own", "FailedMount")
        pods.create("secrets", secret("mine", key="ours"))
        pods.ready("own", timeout=10)
        assert pods.sh("own", "c", "cat /v/v/key") == "ours"
    finally:
        pods.request("DELETE", "/api/v1/namespaces/default/secrets/mine")


@pytest.mark.behaviour("configmap/immutable", "secret/immutable")
@pytest.mark.parametrize(("plural", "make", "where"), [("configmaps", config_map, "data"), ("secrets", secret, "stringData")])
def test_immutable_means_it(pods: Cluster, plural: str, make: Any, where: str) -> None:
    pods.create(plural, {**make("fixed", key="1"), "immutable": True})
    for change in ({where: {"key": "2"}}, {"immutable": False}):
        with pytest.raises(Refused) as refused:
            pods.patch(plural, "fixed", change, kind="merge")
        assert refused.value.code == 422
        assert "field is immutable when `immutable` is set" in refused.value.message
    pods.patch(plural, "fixed", {"metadata": {"labels": {"a": "b"}}}, kind="merge")
    pods.delete(plural, "fixed")
    pods.gone(plural, "fixed", timeout=5)


@pytest.mark.slow
@pytest.mark.behaviour("wrapper/many")
def test_many_volumes_in_many_pods_start(pods: Cluster) -> None:
    volumes = {f"v{number}": {"configMap": {"name": f"many{number}"}} for number in range(50)}
    for number in range(50):
        pods.create("configmaps", config_map(f"many{number}", key=str(number)))
    for number in range(5):
        pods.create("pods", pod(f"many{number}", mounting("c", volumes), volumes=listed(volumes)))
    for number in range(5):
        pods.ready(f"many{number}", timeout=60)
    assert pods.sh("many4", "c", "cat /v/v*/key | wc -c") == "90"
