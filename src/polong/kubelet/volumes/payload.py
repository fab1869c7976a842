"""What the files of configMap, secret, downwardAPI and projected volumes say. Pure: objects and tokens come in by `Material`.

Source: kubelet pkg/volume/{configmap,secret,downwardapi,projected}; the texts are Kubernetes'.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from polong.kit.errors import Invalid, NotFound, Unsupported
from polong.kubelet import downward
from polong.kubelet.downward import Allocatable
from polong.kubelet.volumes.atomic import File, Payload
from polong.objects import pod as pods
from polong.objects.podreferences import CONFIG_MAP, SECRET, Reference

Json = dict[str, Any]

SOURCES = ("configMap", "secret", "downwardAPI", "projected")
DEFAULT_MODE = 0o644
TOKEN_SECONDS = 3_600


@dataclass(frozen=True)
class TokenRequest:
    """A token that a projected volume asks for; `seconds` it is to live."""

    account: str
    audience: str
    seconds: int


@dataclass(frozen=True)
class Material:
    """`objects` has an entry for each reference of the volume, None where there is no such object; `tokens` one for each request."""

    pod: Json
    node: Allocatable
    objects: Mapping[Reference, Json | None] = field(default_factory=dict)
    tokens: Mapping[TokenRequest, str] = field(default_factory=dict)


def source_of(volume: Json) -> str:
    """Which of SOURCES the volume has, or ""."""
    return next((each for each in SOURCES if volume.get(each) is not None), "")


def token_requests(pod: Json, volume: Json) -> list[TokenRequest]:
    return [
        _token_request(pod, source["serviceAccountToken"])
        for source in (volume.get("projected") or {}).get("sources") or ()
        if source.get("serviceAccountToken") is not None
    ]


def build(volume: Json, material: Material) -> Payload:
    """NotFound for an object that is missing, Invalid for a key that is, Unsupported for a source that Polong does not have."""
    kind = source_of(volume)
    source = volume[kind]
    mode = source.get("defaultMode")
    mode = DEFAULT_MODE if mode is None else int(mode)
    if kind == "projected":
        files: dict[str, File] = {}
        for each in source.get("sources") or ():
            # A later source wins where two bring the same path.
            files.update(_projected(each, mode, material))
        return files
    if kind == "downwardAPI":
        return dict(_downward(source, mode, material))
    wanted, name = (CONFIG_MAP, source.get("name")) if kind == "configMap" else (SECRET, source.get("secretName"))
    return dict(_keys(wanted, name or "", source, mode, material))


def _projected(source: Json, mode: int, material: Material) -> Mapping[str, File]:
    for name, kind in (("configMap", CONFIG_MAP), ("secret", SECRET)):
        if (found := source.get(name)) is not None:
            return dict(_keys(kind, found.get("name") or "", found, mode, material))
    if (found := source.get("downwardAPI")) is not None:
        return dict(_downward(found, mode, material))
    if (found := source.get("serviceAccountToken")) is not None:
        token = material.tokens[_token_request(material.pod, found)]
        return {found["path"]: _token(token, mode, material.pod)}
    raise Unsupported(f"projected volumes with a source of type {next(iter(source), 'none')} are not supported")


def _keys(kind: str, name: str, source: Json, mode: int, material: Material) -> Iterator[tuple[str, File]]:
    origin = Reference(kind, name)
    found = material.objects.get(origin)
    if found is None:
        if not source.get("optional"):
            raise NotFound(f'{kind.lower()} "{name}" not found')
        return
    data = _data(kind, found)
    items = source.get("items")
    if not items:
        for key in sorted(data):
            yield key, File(data[key], mode, origin=origin)
        return
    for item in items:
        if item["key"] in data:
            own = item.get("mode")
            yield item["path"], File(data[item["key"]], mode if own is None else int(own), origin=origin)
        elif not source.get("optional"):
            text = "configmap references non-existent config key" if kind == CONFIG_MAP else "references non-existent secret key"
            raise Invalid(f"{text}: {item['key']}")


def _data(kind: str, found: Json) -> Mapping[str, bytes]:
    texts, binary = found.get("data") or {}, found.get("binaryData") or {}
    if kind == SECRET:
        return {key: _decoded(found, key, value) for key, value in texts.items()}
    return {key: str(value).encode() for key, value in texts.items()} | {key: _decoded(found, key, value) for key, value in binary.items()}


def _decoded(found: Json, key: str, value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(f"key {key} of {found['metadata'].get('name', '')} is not base64") from error


def _downward(source: Json, mode: int, material: Material) -> Iterator[tuple[str, File]]:
    for item in source.get("items") or ():
        if reference := item.get("fieldRef"):
            text = downward.field(material.pod, reference["fieldPath"])
        else:
            text = downward.resource(material.pod, None, item["resourceFieldRef"], material.node)
        own = item.get("mode")
        yield item["path"], File(text.encode(), mode if own is None else int(own))


def _token_request(pod: Json, source: Json) -> TokenRequest:
    account = str(pods.spec(pod).get("serviceAccountName") or "default")
    return TokenRequest(account, str(source.get("audience") or ""), int(source.get("expirationSeconds") or TOKEN_SECONDS))


def _token(token: str, mode: int, pod: Json) -> File:
    """Readable by whom the Pod runs as: one user where all containers have the same, the group of the Pod, else everybody (KEP-1205)."""
    user = _only_user(pod)
    group = (pods.spec(pod).get("securityContext") or {}).get("fsGroup")
    return File(token.encode(), mode if user is None and group is None else 0o600, user)


def _only_user(pod: Json) -> int | None:
    default = (pods.spec(pod).get("securityContext") or {}).get("runAsUser")
    users = {
        default if (own := (container.get("securityContext") or {}).get("runAsUser")) is None else own
        for field, _, container in pods.all_containers(pod)
        if field != "ephemeralContainers"
    }
    return users.pop() if len(users) == 1 else None
