"""What Kubernetes has and Polong does not run yet: refused by name, never ignored. One table; a row goes when the feature comes.

Where a field's effect is nothing on one node (tolerations, priority, resizePolicy without the resize subresource) it is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from polong.api.resources import fields
from polong.kit.errors import Cause

Json = dict[str, Any]

Refused = Callable[[Any], bool]


def _given(value: object) -> bool:
    return value is not None and value not in ("", [], {})


def _not(*accepted: object) -> Refused:
    return lambda value: value is not None and value not in accepted


def _confined(value: object) -> bool:
    return value is not None and value not in ({}, {"type": "Unconfined"})


POD: dict[str, Refused] = {
    "activeDeadlineSeconds": _given,
    "affinity": _given,
    "evictionResponders": _given,
    "hostUsers": _not(True),
    "hostnameOverride": _given,
    "imagePullSecrets": _given,
    "initContainers": _given,
    "os.name": _not("linux"),
    "overhead": _given,
    "priorityClassName": _given,
    "resourceClaims": _given,
    "resources": _given,
    "runtimeClassName": _given,
    "schedulerName": _not("default-scheduler"),
    "schedulingGates": _given,
    "schedulingGroup": _given,
    "securityContext.appArmorProfile": _confined,
    "securityContext.seLinuxChangePolicy": _given,
    "securityContext.seLinuxOptions": _given,
    "securityContext.windowsOptions": _given,
    "serviceAccount": _not("", "default"),
    "serviceAccountName": _not("", "default"),
    "setHostnameAsFQDN": _not(False),
    "topologySpreadConstraints": _given,
    "workloadRef": _given,
}

CONTAINER: dict[str, Refused] = {
    "envFrom": _given,
    "lifecycle": _given,
    "livenessProbe": _given,
    "readinessProbe": _given,
    "resources.claims": _given,
    "restartPolicy": _given,
    "restartPolicyRules": _given,
    "securityContext.appArmorProfile": _confined,
    "securityContext.seLinuxOptions": _given,
    "securityContext.windowsOptions": _given,
    "startupProbe": _given,
    "volumeDevices": _given,
}

VOLUME_MOUNT: dict[str, Refused] = {
    "bindMountOptions": _given,
    "mountPropagation": _not("None"),
    "recursiveReadOnly": _not("Disabled"),
    "subPath": _given,
    "subPathExpr": _given,
}

ENV_SOURCES = ("fieldRef", "resourceFieldRef")
VOLUME_SOURCES = ("emptyDir", "hostPath")
# A request of ephemeral storage always fits on one node; a limit would have to be enforced.
RESOURCES = {"limits": ("cpu", "memory"), "requests": ("cpu", "ephemeral-storage", "memory")}
EMPTY_DIR_MEDIA = ("", "Memory")


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


def refuse(spec: Json, node_labels: Json, node_name: str) -> Iterator[Cause]:
    """A cause for each thing in `spec` that would not work."""
    yield from _refused(spec, "spec", POD)
    if spec.get("nodeName", node_name) != node_name:
        yield fields.invalid("spec.nodeName", spec["nodeName"], f"this API has one node, {node_name}")
    for label, value in (spec.get("nodeSelector") or {}).items():
        if node_labels.get(label) != value:
            yield fields.invalid(fields.key("spec.nodeSelector", label), value, f"node {node_name} has no such label")
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _volume(volume, fields.at("spec.volumes", index))
    for index, container in enumerate(spec.get("containers") or ()):
        yield from _container(container, fields.at("spec.containers", index))


def _volume(volume: Json, path: str) -> Iterator[Cause]:
    for source in volume:
        if source not in ("name", *VOLUME_SOURCES):
            yield _cause(f"{path}.{source}", f"volumes of type {source}")
    if "mode" in (volume.get("emptyDir") or {}):
        yield _cause(f"{path}.emptyDir.mode")
    medium = (volume.get("emptyDir") or {}).get("medium", "")
    if medium not in EMPTY_DIR_MEDIA:
        yield _cause(f"{path}.emptyDir.medium", f"the medium {medium}")
    if medium != "Memory" and (volume.get("emptyDir") or {}).get("sizeLimit") is not None:
        yield _cause(f"{path}.emptyDir.sizeLimit", "a size limit but for the medium Memory")


def _container(container: Json, path: str) -> Iterator[Cause]:
    yield from _refused(container, path, CONTAINER)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        yield from _refused(mount, f"{path}.volumeMounts[{index}]", VOLUME_MOUNT)
    for index, entry in enumerate(container.get("env") or ()):
        for source in entry.get("valueFrom") or ():
            if source not in ENV_SOURCES:
                yield _cause(f"{path}.env[{index}].valueFrom.{source}")
    for part in ("limits", "requests"):
        for name in (container.get("resources") or {}).get(part) or ():
            if name not in RESOURCES[part]:
                yield _cause(fields.key(f"{path}.resources.{part}", name), f"the resource {name}")
