import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kubelet.doubles import UID, container, pod

from polong.kit.errors import Invalid
from polong.kubelet.environment import Addresses, Allocatable, Sources, environment, expand

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
