"""Environment: literals, expansion, the downward API, ConfigMaps and Secrets. One Pod, read through /proc/1/environ of its containers."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused, statuses
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]

DATA = {"data-1": "value-1", "data_2": "two words", ".dotted.name": "3", "4-digits": "4"}


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def key(name: str, kind: str, of: str, item: str, **fields: Any) -> Json:
    return {"name": name, "valueFrom": {kind: {"name": of, "key": item, **fields}}}


def field(name: str, path: str) -> Json:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def resource(name: str, of: str, divisor: str = "0") -> Json:
    return {"name": name, "valueFrom": {"resourceFieldRef": {"resource": of, "divisor": divisor}}}


def direct(name: str, **fields: Any) -> Json:
    """Without a shell: busybox's drops what it could not use as a variable."""
    return {**busybox(name, "", **fields), "command": ["sleep", "1000"]}


OBJECTS = [
    key("FROM_MAP", "configMapKeyRef", "env", "data-1"),
    key("FROM_SECRET", "secretKeyRef", "env", "data-1"),
    key("NO_MAP", "configMapKeyRef", "none", "x", optional=True),
    key("NO_KEY", "secretKeyRef", "env", "x", optional=True),
]
DOWNWARD = [
    field("POD_NAME", "metadata.name"),
    field("POD_NAMESPACE", "metadata.namespace"),
    field("POD_UID", "metadata.uid"),
    field("POD_IP", "status.podIP"),
    field("HOST_IP", "status.hostIP"),
    field("HOST_IPS", "status.hostIPs"),
    field("LABEL", "metadata.labels['app']"),
    resource("CPU_LIMIT", "limits.cpu"),
    resource("MEMORY_LIMIT", "limits.memory"),
    resource("CPU_REQUEST", "requests.cpu"),
    resource("CPU_MILLIS", "requests.cpu", "1m"),
    resource("MEMORY_REQUEST", "requests.memory", "1Ki"),
]
NODE = [resource("CPU_LIMIT", "limits.cpu"), resource("MEMORY_LIMIT", "limits.memory"), resource("DISK_LIMIT", "limits.ephemeral-storage")]
EXPANSION = [
    {"name": "FOO", "value": "foo-value"},
    {"name": "BAR", "value": "bar-value"},
    {"name": "FOOBAR", "value": "$(FOO);;$(BAR)"},
    {"name": "LATER", "value": "$(NEVER)$$(FOO)"},
]
PREFIXES = ("p-", "p_", "p.", "4", "p;@", "A!#%&'()*+,-./:<>?[]^`{|}~ ")


@pytest.fixture(scope="module")
def env(cluster: Cluster) -> Cluster:
    cluster.create("configmaps", config_map("env", **DATA))
    cluster.create("secrets", secret("env", **DATA))
    sized = {"limits": {"cpu": "1250m", "memory": "64Mi"}, "requests": {"cpu": "250m", "memory": "32Mi"}}
    every = [{"configMapRef": {"name": "env"}}, {"secretRef": {"name": "env"}, "prefix": "s_"}]
    every += [{kind: {"name": "none", "optional": True}} for kind in ("configMapRef", "secretRef")]
    odd = [{kind: {"name": "env"}, "prefix": f"{kind[0]}{prefix}"} for prefix in PREFIXES for kind in ("configMapRef", "secretRef")]
    made = pod(
        "env",
        busybox("objects", "exec sleep 1000", env=OBJECTS),
        direct("all", envFrom=every),
        direct("odd", envFrom=odd),
        busybox("downward", "exec sleep 1000", env=DOWNWARD, resources=sized),
        busybox("node", "exec sleep 1000", env=NODE),
        {
            **busybox("expansion", "", env=EXPANSION),
            "command": ["sh", "-c", "echo $(FOO) $$(BAR) $(NEVER); exec sleep $0", "$(N)"],
            "args": ["1000"],
        },
        {**busybox("args", "", env=EXPANSION), "command": ["sh", "-c"], "args": ["echo $(BAR); exec sleep 1000"]},
    )
    made["spec"]["containers"][5]["env"] = [*EXPANSION, {"name": "N", "value": "1000"}]
    made["metadata"]["labels"] = {"app": "x"}
    cluster.run(made)
    return cluster


def environ(cluster: Cluster, container: str) -> dict[str, str]:
    ran = cluster.exec("env", container, "cat", "/proc/1/environ")
    return dict(entry.split("=", 1) for entry in ran.stdout.split("\0") if entry)


@pytest.mark.behaviour("environment/configmap-key", "environment/secret-key")
def test_keys_of_objects(env: Cluster) -> None:
    found = environ(env, "objects")
    assert (found["FROM_MAP"], found["FROM_SECRET"]) == ("value-1", "value-1")
    assert not {"NO_MAP", "NO_KEY"} & found.keys()


@pytest.mark.behaviour("environment/configmap-from", "environment/secret-from")
def test_all_keys_of_objects(env: Cluster) -> None:
    found = environ(env, "all")
    assert DATA.items() <= found.items()
    assert {f"s_{name}": value for name, value in DATA.items()}.items() <= found.items()


@pytest.mark.behaviour("environment/configmap-names", "environment/secret-names")
def test_prefixes_of_any_printable_character(env: Cluster) -> None:
    found = environ(env, "odd")
    wanted = {f"{kind}{prefix}{name}": value for kind in "cs" for prefix in PREFIXES for name, value in DATA.items()}
    assert wanted.items() <= found.items()


@pytest.mark.behaviour(
    "environment/downward-pod",
    "environment/downward-host-ip",
    "environment/downward-host-ips",
    "environment/downward-resources",
    "environment/downward-uid",
)
def test_what_a_pod_is_told_of_itself(env: Cluster) -> None:
    found, told = environ(env, "downward"), env.pod("env")
    assert {name: found[name] for name in ("POD_NAME", "POD_NAMESPACE", "POD_UID", "LABEL")} == {
        "POD_NAME": "env",
        "POD_NAMESPACE": env.namespace,
        "POD_UID": told["metadata"]["uid"],
        "LABEL": "x",
    }
    assert (found["POD_IP"], found["HOST_IP"]) == (told["status"]["podIP"], told["status"]["hostIP"])
    assert found["HOST_IPS"] == ",".join(each["ip"] for each in told["status"]["hostIPs"])
    assert {name: found[name] for name in ("CPU_LIMIT", "MEMORY_LIMIT", "CPU_REQUEST", "CPU_MILLIS", "MEMORY_REQUEST")} == {
        "CPU_LIMIT": "2",
        "MEMORY_LIMIT": str(64 << 20),
        "CPU_REQUEST": "1",
        "CPU_MILLIS": "250",
        "MEMORY_REQUEST": str(32 << 10),
    }


@pytest.mark.behaviour("environment/downward-allocatable")
def test_limits_default_to_what_the_node_can_give(env: Cluster) -> None:
    found = environ(env, "node")
    (node,) = env.list("nodes", namespaced=False)
    given = node["status"]["allocatable"]
    assert found["CPU_LIMIT"] == given["cpu"]
    assert int(found["MEMORY_LIMIT"]) // 1024 == int(given["memory"].removesuffix("Ki"))
    assert found["DISK_LIMIT"] == given["ephemeral-storage"]


@pytest.mark.behaviour("environment/expansion-env", "environment/expansion-command", "environment/expansion-args")
def test_references_are_expanded(env: Cluster) -> None:
    found = environ(env, "expansion")
    assert (found["FOOBAR"], found["LATER"]) == ("foo-value;;bar-value", "$(NEVER)$(FOO)")
    assert env.exec("env", "expansion", "cat", "/proc/1/cmdline").stdout == "sleep\x001000\x00"
    # The shell runs what is left as commands of that name; what was expanded is text.
    assert "foo-value" in env.logs("env", "expansion")
    assert env.logs("env", "args") == "bar-value\n"


@pytest.mark.behaviour("environment/configmap-key", "environment/secret-key")
def test_what_is_missing_is_told_and_waited_for(env: Cluster) -> None:
    cases = {
        "no-map": (key("X", "configMapKeyRef", "none", "k"), 'configmap "none" not found'),
        "no-secret": (key("X", "secretKeyRef", "none", "k"), 'secret "none" not found'),
        "no-key": (key("X", "configMapKeyRef", "env", "k"), f"couldn't find key k in ConfigMap {env.namespace}/env"),
        "no-secret-key": (key("X", "secretKeyRef", "env", "k"), f"couldn't find key k in Secret {env.namespace}/env"),
    }
    for name, (source, _) in cases.items():
        env.create("pods", pod(name, busybox("c", "exec sleep 1000", env=[source])))
    for name, (_, text) in cases.items():

        def waiting(told: Json) -> Json:
            return (statuses(told).get("c") or {}).get("state", {}).get("waiting") or {}

        told = env.until(name, lambda told: waiting(told).get("reason") == "CreateContainerConfigError", "waits")
        assert waiting(told)["message"] == text
        assert env.event(name, "Failed")["message"] == f"Error: {text}"
    env.create("configmaps", config_map("none", k="here"))
    env.create("secrets", secret("none", k="here"))
    env.patch("configmaps", "env", {"data": {"k": "here"}}, kind="merge")
    env.patch("secrets", "env", {"stringData": {"k": "here"}}, kind="merge")
    for name in cases:
        # Sooner than the kubelet's own next try (10 s): the change itself wakes it.
        env.ready(name, timeout=9)


@pytest.mark.behaviour("environment/configmap-empty-key", "environment/secret-empty-key")
@pytest.mark.parametrize(("plural", "made"), [("configmaps", config_map("bad", **{"": "x"})), ("secrets", secret("bad", **{"": "x"}))])
def test_an_empty_key_is_refused(cluster: Cluster, plural: str, made: Json) -> None:
    with pytest.raises(Refused) as refused:
        cluster.create(plural, made)
    assert refused.value.code == 422


@pytest.mark.behaviour("environment/configmap-lifecycle", "environment/configmap-update", "environment/secret-lifecycle")
@pytest.mark.parametrize(("plural", "make"), [("configmaps", config_map), ("secrets", secret)])
def test_the_life_of_an_object(cluster: Cluster, plural: str, make: Any) -> None:
    made = make("life", a="1")
    made["metadata"]["labels"] = {"life": plural}
    cluster.create(plural, made)
    where = "data" if plural == "configmaps" else "stringData"
    cluster.patch(plural, "life", {where: {"b": "2"}}, kind="strategic")
    assert set(cluster.get(plural, "life")["data"]) == {"a", "b"}
    found = cluster.request("GET", f"/api/v1/{plural}", labelSelector=f"life={plural}")["items"]
    assert [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in found] == [(cluster.namespace, "life")]
    held = cluster.get(plural, "life")
    del held["data"]["a"]
    assert set(cluster.replace(plural, held)["data"]) == {"b"}
    cluster.request("DELETE", cluster.path(plural), labelSelector=f"life={plural}")
    eventually(lambda: not cluster.list(plural, labelSelector=f"life={plural}"), "the collection is deleted", 10)
