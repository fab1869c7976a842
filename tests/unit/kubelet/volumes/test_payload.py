"""What the files of volumes say."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.unit.kubelet.doubles import container, pod

from polong.kit.errors import Invalid, NotFound, Unsupported
from polong.kubelet.downward import Allocatable
from polong.kubelet.volumes import payload
from polong.kubelet.volumes.payload import Material, TokenRequest
from polong.objects.podreferences import CONFIG_MAP, SECRET, Reference

NODE = Allocatable(2000, 4 << 30, 100 << 30)
WEB, KEY = Reference(CONFIG_MAP, "web"), Reference(SECRET, "key")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


OBJECTS: dict[Reference, Any] = {
    WEB: {"metadata": {"name": "web"}, "data": {"a": "1", "b": "2"}, "binaryData": {"bin": encoded("\0x")}},
    KEY: {"metadata": {"name": "key"}, "data": {"user": encoded("me")}},
}


def build(volume: dict[str, Any], own: dict[str, Any] | None = None, **fields: Any) -> dict[str, tuple[bytes, int]]:
    material = Material(own or pod(), NODE, fields.pop("objects", OBJECTS), fields.pop("tokens", {}))
    return {path: (file.data, file.mode) for path, file in payload.build({"name": "v", **volume}, material).items()}


def test_all_keys_with_the_default_mode() -> None:
    assert build({"configMap": {"name": "web"}}) == {"a": (b"1", 0o644), "b": (b"2", 0o644), "bin": (b"\0x", 0o644)}
    assert build({"secret": {"secretName": "key", "defaultMode": 0o400}}) == {"user": (b"me", 0o400)}


def test_items_choose_paths_and_modes() -> None:
    items = [{"key": "a", "path": "x/y"}, {"key": "b", "path": "z", "mode": 0}]
    assert build({"configMap": {"name": "web", "items": items, "defaultMode": 0o600}}) == {"x/y": (b"1", 0o600), "z": (b"2", 0)}


@pytest.mark.parametrize(
    ("volume", "kind", "text"),
    [
        ({"configMap": {"name": "no"}}, NotFound, 'configmap "no" not found'),
        ({"secret": {"secretName": "no"}}, NotFound, 'secret "no" not found'),
        (
            {"configMap": {"name": "web", "items": [{"key": "no", "path": "p"}]}},
            Invalid,
            "configmap references non-existent config key: no",
        ),
        ({"secret": {"secretName": "key", "items": [{"key": "no", "path": "p"}]}}, Invalid, "references non-existent secret key: no"),
        ({"projected": {"sources": [{"clusterTrustBundle": {}}]}}, Unsupported, "clusterTrustBundle"),
    ],
)
def test_what_is_missing_is_said_in_kubernetes_words(volume: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        build(volume)


def test_optional_ones_may_be_missing() -> None:
    assert build({"configMap": {"name": "no", "optional": True}}) == {}
    items = [{"key": "no", "path": "p"}, {"key": "a", "path": "a"}]
    assert build({"configMap": {"name": "web", "optional": True, "items": items}}) == {"a": (b"1", 0o644)}


def test_one_volume_of_many_sources() -> None:
    own = pod(container(resources={"limits": {"cpu": "1500m"}}))
    own["metadata"]["labels"] = {"b": 'x"y', "a": "1"}
    sources = [
        {"configMap": {"name": "web", "items": [{"key": "a", "path": "same"}]}},
        {"secret": {"name": "key", "items": [{"key": "user", "path": "same"}]}},
        {
            "downwardAPI": {
                "items": [
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 0o440},
                    {"path": "cpu", "resourceFieldRef": {"containerName": "app", "resource": "limits.cpu"}},
                    {"path": "memory", "resourceFieldRef": {"containerName": "app", "resource": "limits.memory", "divisor": "1Mi"}},
                ]
            }
        },
    ]
    assert build({"projected": {"sources": sources, "defaultMode": 0o600}}, own) == {
        "same": (b"me", 0o600),
        "labels": (b'a="1"\nb="x\\"y"', 0o440),
        "cpu": (b"2", 0o600),
        "memory": (b"4096", 0o600),
    }


@pytest.mark.parametrize(
    ("context", "mode", "uid"),
    [({}, 0o644, None), ({"runAsUser": 1000}, 0o600, 1000), ({"fsGroup": 5}, 0o600, None)],
)
def test_a_token_is_for_whom_the_pod_runs_as(context: dict[str, Any], mode: int, uid: int | None) -> None:
    own = pod(securityContext=context, serviceAccountName="robot")
    volume = {
        "name": "v",
        "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 900}}]},
    }
    request = TokenRequest("robot", "vault", 900)
    assert payload.token_requests(own, volume) == [request]
    (file,) = payload.build(volume, Material(own, NODE, {}, {request: "secret"})).values()
    assert (file.data, file.mode, file.uid) == (b"secret", mode, uid)
    assert "secret" not in repr(file)


def test_every_file_knows_its_object() -> None:
    sources = [{"configMap": {"name": "web"}}, {"secret": {"name": "key"}}]
    found = payload.build({"name": "v", "projected": {"sources": sources}}, Material(pod(), NODE, OBJECTS))
    assert {path: file.origin for path, file in found.items()} == {"a": WEB, "b": WEB, "bin": WEB, "user": KEY}
