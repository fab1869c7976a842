"""Which other objects of its namespace a Pod refers to: what its node has to read, and may. Pure; all containers of all kinds count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from polong.objects import pod as pods

Json = dict[str, Any]

CONFIG_MAP, SECRET, CLAIM, ACCOUNT = "ConfigMap", "Secret", "PersistentVolumeClaim", "ServiceAccount"


class Reference(NamedTuple):
    """An object in the Pod's own namespace."""

    kind: str
    name: str


def of_pod(pod: Json) -> frozenset[Reference]:
    """Everything: volumes, environment, image pull secrets."""
    spec = pods.spec(pod)
    found = {Reference(SECRET, each["name"]) for each in spec.get("imagePullSecrets") or () if each.get("name")}
    for volume in spec.get("volumes") or ():
        found.update(of_volume(volume))
    for _, _, container in pods.all_containers(pod):
        found.update(of_environment(container))
    return frozenset(found)


def of_environment(container: Json) -> frozenset[Reference]:
    """env[].valueFrom and envFrom."""
    found = set()
    for entry in container.get("env") or ():
        source = entry.get("valueFrom") or {}
        found |= _named(source, "configMapKeyRef", "secretKeyRef")
    for source in container.get("envFrom") or ():
        found |= _named(source, "configMapRef", "secretRef")
    return frozenset(found)


def of_volume(volume: Json) -> frozenset[Reference]:
    """A configMap, secret, persistentVolumeClaim, or the sources of a projected volume."""
    return frozenset(_of_volume(volume))


def _of_volume(volume: Json) -> Iterator[Reference]:
    if name := (volume.get("configMap") or {}).get("name"):
        yield Reference(CONFIG_MAP, name)
    if name := (volume.get("secret") or {}).get("secretName"):
        yield Reference(SECRET, name)
    if name := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
        yield Reference(CLAIM, name)
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from _named(source, "configMap", "secret")


def _named(source: Json, config_map: str, secret: str) -> set[Reference]:
    found = set()
    if name := (source.get(config_map) or {}).get("name"):
        found.add(Reference(CONFIG_MAP, name))
    if name := (source.get(secret) or {}).get("name"):
        found.add(Reference(SECRET, name))
    return found


def kinds(pod: Json) -> list[str]:
    """The plurals of what the Pod refers to in the API: what a static Pod may not do."""
    spec, found = pods.spec(pod), of_pod(pod)
    plurals = {ACCOUNT: "serviceaccounts", SECRET: "secrets", CONFIG_MAP: "configmaps", CLAIM: "persistentvolumeclaims"}
    met = {each.kind for each in found}
    sources = [source for volume in spec.get("volumes") or () for source in (volume.get("projected") or {}).get("sources") or ()]
    if spec.get("serviceAccountName") or any("serviceAccountToken" in each for each in sources):
        met.add(ACCOUNT)
    return [plural for kind, plural in plurals.items() if kind in met]
