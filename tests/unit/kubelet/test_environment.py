from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kubelet.doubles import UID, container, pod

from polong.kit.errors import Invalid
from polong.kubelet.environment import Addresses, Allocatable, Sources, environment, expand, expand_strictly
from polong.objects.podreferences import CONFIG_MAP, SECRET, Reference

NODE = Allocatable(2000, 4 << 30)
AROUND = Sources(Addresses(("10.0.0.2", "fd00::2"), ("192.0.2.1",)), NODE)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)", "a"),
        ("x$(A)$(B)y", "xaby"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a"),
        ("$$", "$"),
        ("$", "$"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("$()", "$()"),
    ],
)
def test_references(text: str, result: str) -> None:
    assert expand(text, {"A": "a", "B": "b"}) == result


@given(st.text(alphabet="$()AB "))
def test_without_values_only_double_dollars_change(text: str) -> None:
    assert expand(text, {}).replace("$", "") == text.replace("$", "")


def test_entries_see_those_before_them() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}, {"name": "C", "value": "$(D)"}, {"name": "D", "value": "4"}]
    assert environment(pod(), container(env=env), AROUND) == {"A": "1", "B": "12", "C": "$(D)", "D": "4"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.namespace", "default"),
        ("metadata.uid", UID),
        ("metadata.labels['app']", "x"),
        ("metadata.annotations['none']", ""),
        ("spec.nodeName", "node"),
        ("status.podIP", "10.0.0.2"),
        ("status.podIPs", "10.0.0.2,fd00::2"),
        ("status.hostIP", "192.0.2.1"),
    ],
)
def test_fields(path: str, value: str) -> None:
    own = pod()
    own["metadata"]["labels"] = {"app": "x"}
    env = [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    assert environment(own, container(env=env), AROUND) == {"X": value}


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", "0", "2"),
        ("limits.cpu", "1m", "1250"),
        ("requests.memory", "1Mi", "32"),
        ("limits.memory", "1Mi", "4096"),
        ("requests.cpu", "1m", "1250"),
    ],
)
def test_resources(resource: str, divisor: str, value: str) -> None:
    env = [{"name": "X", "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}}]
    own = container(env=env, resources={"limits": {"cpu": "1250m"}, "requests": {"memory": "32Mi"}})
    assert environment(pod(), own, AROUND) == {"X": value}


def test_an_unknown_source_is_an_error_of_configuration() -> None:
    with pytest.raises(Invalid) as error:
        environment(pod(), container(env=[{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]), AROUND)
    assert error.value.reason == "CreateContainerConfigError"


WEB, KEY = Reference(CONFIG_MAP, "web"), Reference(SECRET, "key")
OBJECTS = {
    WEB: {"metadata": {"name": "web", "namespace": "default"}, "data": {"a": "1", "b-c.d": "2"}},
    KEY: {"metadata": {"name": "key", "namespace": "default"}, "data": {"pass": "czM=", "bytes": "/w==", "zero": "AA=="}},
    Reference(CONFIG_MAP, "no"): None,
    Reference(SECRET, "no"): None,
}
FROM = Sources(objects=OBJECTS)


def ref(kind: str, name: str, key: str = "", **fields: Any) -> dict[str, Any]:
    return {kind: {"name": name, **({"key": key} if key else {}), **fields}}


def test_values_of_objects() -> None:
    env = [
        {"name": "A", "valueFrom": ref("configMapKeyRef", "web", "a")},
        {"name": "P", "valueFrom": ref("secretKeyRef", "key", "pass")},
        {"name": "N", "valueFrom": ref("configMapKeyRef", "no", "a", optional=True)},
        {"name": "M", "valueFrom": ref("secretKeyRef", "key", "none", optional=True)},
        {"name": "X", "value": "$(A)$(P)$(W_a)"},
    ]
    every = [{**ref("configMapRef", "web"), "prefix": "W_"}, ref("configMapRef", "no", optional=True)]
    assert environment(pod(), container(env=env, envFrom=every), FROM) == {"W_a": "1", "W_b-c.d": "2", "A": "1", "P": "s3", "X": "1s31"}


def test_a_later_source_wins() -> None:
    every = [ref("configMapRef", "web"), {"configMapRef": {"name": "web"}, "prefix": ""}]
    assert environment(pod(), container(env=[{"name": "a", "value": "mine"}], envFrom=every), FROM) == {"a": "mine", "b-c.d": "2"}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"env": [{"name": "X", "valueFrom": ref("configMapKeyRef", "no", "a")}]}, 'configmap "no" not found'),
        ({"env": [{"name": "X", "valueFrom": ref("secretKeyRef", "no", "a")}]}, 'secret "no" not found'),
        ({"env": [{"name": "X", "valueFrom": ref("configMapKeyRef", "web", "k")}]}, "couldn't find key k in ConfigMap default/web"),
        ({"env": [{"name": "X", "valueFrom": ref("secretKeyRef", "key", "k")}]}, "couldn't find key k in Secret default/key"),
        ({"envFrom": [ref("secretRef", "no")]}, 'secret "no" not found'),
        ({"env": [{"name": "X", "valueFrom": ref("secretKeyRef", "key", "bytes")}]}, "key bytes in Secret default/key is not text"),
        ({"env": [{"name": "X", "valueFrom": ref("secretKeyRef", "key", "zero")}]}, "key zero in Secret default/key is not text"),
    ],
)
def test_what_is_missing_is_said_in_kubernetes_words(source: dict[str, Any], text: str) -> None:
    with pytest.raises(Invalid, match=text) as error:
        environment(pod(), container(**source), FROM)
    assert error.value.reason == "CreateContainerConfigError"


def test_strict_expansion_wants_every_value() -> None:
    assert expand_strictly("$$(A)/$(A)", {"A": "a"}) == "$(A)/a"
    with pytest.raises(Invalid, match='missing value for "B"'):
        expand_strictly("$(B)", {"A": "a"})
