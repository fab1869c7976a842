from __future__ import annotations

import json
from typing import Any

import pytest

from polong.kit.errors import BadRequest
from polong.objects.decode import decode_object, parse_json


def decode(text: str | dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    decoded = decode_object(parse_json(text if isinstance(text, str) else json.dumps(text)), "v1", "Pod")
    return decoded.obj, decoded.problems


def test_unknown_fields_are_pruned_and_named() -> None:
    obj, problems = decode({"metadata": {"nam": 1}, "spec": {"foo": 1, "containers": [{"name": "a", "imge": "b"}]}})
    assert problems == ['unknown field "metadata.nam"', 'unknown field "spec.foo"', 'unknown field "spec.containers[0].imge"']
    assert obj["spec"] == {"containers": [{"name": "a"}]}
    assert (obj["apiVersion"], obj["kind"]) == ("v1", "Pod")


def test_duplicate_fields_are_named() -> None:
    obj, problems = decode('{"spec": {"hostPID": true, "hostPID": false}, "metadata": {"labels": {"a": "1", "a": "2"}}}')
    assert problems == ['duplicate field "spec.hostPID"', 'duplicate field "metadata.labels.a"']
    assert obj["metadata"]["labels"] == {"a": "2"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"spec": []}, "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
        ({"spec": {"hostPID": "yes"}}, "cannot unmarshal string into Go struct field PodSpec.spec.hostPID of type bool"),
        (
            {"spec": {"containers": [{"ports": [{"containerPort": "x"}]}]}},
            "cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        ({"spec": {"containers": {}}}, "cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"),
        ({"metadata": {"labels": {"a": 1}}}, "of type string"),
        ({"spec": {"terminationGracePeriodSeconds": 1.5}}, "cannot unmarshal number 1.5 into Go struct field"),
        ({"spec": {"containers": [{"ports": [{"containerPort": 2**40}]}]}}, "cannot unmarshal number"),
        ({"kind": "Node"}, "must be of type Pod"),
        ({"apiVersion": "v2"}, "does not match the expected API version"),
    ],
)
def test_wrong_types(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(fields)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_null_and_empty_are_absent() -> None:
    obj, problems = decode(
        {"metadata": {"creationTimestamp": None, "labels": {"a": ""}}, "spec": {"containers": [], "nodeName": "", "securityContext": {}}}
    )
    assert obj["metadata"] == {"labels": {"a": ""}}
    assert obj["spec"] == {"securityContext": {}}
    assert problems == []


def test_whole_floats_and_quantities() -> None:
    obj, _ = decode(
        {"spec": {"terminationGracePeriodSeconds": 5.0, "containers": [{"name": "a", "resources": {"limits": {"cpu": 1, "memory": 0.5}}}]}}
    )
    assert obj["spec"]["terminationGracePeriodSeconds"] == 5
    assert obj["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "1", "memory": "500m"}


def test_what_is_no_quantity() -> None:
    with pytest.raises(BadRequest, match="cannot be handled as a Pod: quantities must match the regular expression"):
        decode({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "much"}}}]}})


@pytest.mark.parametrize("text", ["", "{", "nope", '{"a": NaN}', "[" * 100000, "\x00"])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_json(text)
    assert "\n" not in caught.value.message


def test_depth_is_bounded() -> None:
    deep: Any = {}
    for _ in range(150):
        deep = {"not": deep}
    assert decode({"spec": {"foo": deep}})[1]
