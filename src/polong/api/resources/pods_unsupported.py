"""What Kubernetes has and Polong does not run yet: refused by name, never ignored. One table; a row goes when the feature comes.

Where a field's effect is nothing on one node (tolerations, priority) it is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from polong.api.resources import fields
from polong.kit.errors import Cause
from polong.objects import podresources
from polong.objects.pod import CONTAINER_FIELDS

Json = dict[str, Any]

Refused = Callable[[Any], bool]


def _given(value: object) -> bool:
    return value is not None and value not in ("", [], {})


def _not(*accepted: object) -> Refused:
    return lambda value: value is not None and value not in accepted


POD: dict[str, Refused] = {
    "evictionResponders": _given,
    "os.name": _not("linux"),
    "resourceClaims": _given,
    "resources.claims": _given,
    "schedulingGroup": _given,
    "securityContext.seLinuxChangePolicy": _given,
    "securityContext.seLinuxOptions": _given,
    "securityContext.windowsOptions": _given,
    "workloadRef": _given,
}

CONTAINER: dict[str, Refused] = {
    "resources.claims": _given,
    "securityContext.seLinuxOptions": _given,
    "securityContext.windowsOptions": _given,
    "volumeDevices": _given,
}

VOLUME_MOUNT: dict[str, Refused] = {
    "bindMountOptions": _given,
}

ENV_SOURCES = ("configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef")
VOLUME_SOURCES = ("configMap", "downwardAPI", "emptyDir", "hostPath", "image", "persistentVolumeClaim", "projected", "secret")
PROJECTED_SOURCES = ("configMap", "downwardAPI", "secret", "serviceAccountToken")
RESOURCES = {"limits": ("cpu", "ephemeral-storage", "memory"), "requests": ("cpu", "ephemeral-storage", "memory")}
EMPTY_DIR_MEDIA = ("", "Memory")


# Young fields of nested structures: (the parent's name or "" for any, field), wherever a volume or a probe has them.
NESTED = frozenset({("", "defaultUser"), ("", "user"), ("grpc", "mode"), ("httpGet", "protocol")})


def _nested(node: object, path: str, parent: str = "") -> Iterator[Cause]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _nested(item, fields.at(path, index), parent)
    elif isinstance(node, dict):
        for name, value in node.items():
            if (("", name) in NESTED or (parent, name) in NESTED) and _given(value):
                yield _cause(f"{path}.{name}")
            yield from _nested(value, f"{path}.{name}", name)


def _cause(path: str, what: str = "this field") -> Cause:
    return fields.forbidden(path, f"Polong does not support {what} yet")


def _value(node: Json, dotted: str) -> Any:  # noqa: ANN401 - any JSON value
    value: Any = node
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _refused(node: Json, path: str, table: dict[str, Refused]) -> Iterator[Cause]:
    for dotted, refused in table.items():
        if refused(_value(node, dotted)):
            yield _cause(f"{path}.{dotted}")


def refuse(spec: Json, node_name: str) -> Iterator[Cause]:
    """A cause for each thing in `spec` that would not work."""
    yield from _refused(spec, "spec", POD)
    if spec.get("nodeName", node_name) != node_name:
        yield fields.invalid("spec.nodeName", spec["nodeName"], f"this API has one node, {node_name}")
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _volume(volume, fields.at("spec.volumes", index))
    for field in CONTAINER_FIELDS:
        for index, container in enumerate(spec.get(field) or ()):
            yield from _container(container, fields.at(f"spec.{field}", index))


def _volume(volume: Json, path: str) -> Iterator[Cause]:
    for source in volume:
        if source not in ("name", *VOLUME_SOURCES):
            yield _cause(f"{path}.{source}", f"volumes of type {source}")
    if "mode" in (volume.get("emptyDir") or {}):
        yield _cause(f"{path}.emptyDir.mode")
    medium = (volume.get("emptyDir") or {}).get("medium", "")
    if medium not in EMPTY_DIR_MEDIA:
        yield _cause(f"{path}.emptyDir.medium", f"the medium {medium}")
    for index, projected in enumerate((volume.get("projected") or {}).get("sources") or ()):
        for source in projected:
            if source not in PROJECTED_SOURCES:
                yield _cause(f"{path}.projected.sources[{index}].{source}", f"projected volumes of {source}")
    yield from _nested(volume, path)


def _container(container: Json, path: str) -> Iterator[Cause]:
    yield from _refused(container, path, CONTAINER)
    for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        yield from _nested(container.get(name), f"{path}.{name}")
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        yield from _refused(mount, f"{path}.volumeMounts[{index}]", VOLUME_MOUNT)
    for index, entry in enumerate(container.get("env") or ()):
        for source in entry.get("valueFrom") or ():
            if source not in ENV_SOURCES:
                yield _cause(f"{path}.env[{index}].valueFrom.{source}")
    for part in ("limits", "requests"):
        for name in (container.get("resources") or {}).get(part) or ():
            if name not in RESOURCES[part] and not podresources.is_extended(name):
                yield _cause(fields.key(f"{path}.resources.{part}", name), f"the resource {name}")
