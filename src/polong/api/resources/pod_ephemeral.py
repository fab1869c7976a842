"""pods/ephemeralcontainers: the one door through which a Pod gets a container after its creation.

Source: pkg/registry/core/pod/strategy.go (podEphemeralContainersStrategy), pkg/apis/core/validation (ValidatePodEphemeralContainersUpdate,
validateEphemeralContainers), KEP-277.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polong.api.resources import fields
from polong.kit.errors import Cause
from polong.objects import pod as pods

Json = dict[str, Any]


_PATH = "spec.ephemeralContainers"
KEPT_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
# Everything else of a container makes no sense for one that is neither restarted, probed nor counted.
_ALLOWED = frozenset(
    {
        "args", "command", "env", "envFrom", "image", "imagePullPolicy", "name", "securityContext", "stdin", "stdinOnce",
        "targetContainerName", "terminationMessagePath", "terminationMessagePolicy", "tty", "volumeDevices", "volumeMounts", "workingDir",
    }
)  # fmt: skip


def keep_the_rest(new: Json, old: Json) -> None:
    """Whatever else the body says is discarded."""
    added = (new.get("spec") or {}).get("ephemeralContainers")
    new["spec"] = old["spec"]
    new["spec"].pop("ephemeralContainers", None)
    if added:
        new["spec"]["ephemeralContainers"] = added
    for name in KEPT_METADATA:
        new["metadata"].pop(name, None)
        if name in old["metadata"]:
            new["metadata"][name] = old["metadata"][name]


def validate(spec: Json) -> Iterator[Cause]:
    """What only ephemeral containers must satisfy; that which all containers must: `container_validation`."""
    targets = {container.get("name") for field in ("containers", "initContainers") for container in spec.get(field) or ()}
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        path = fields.at(_PATH, index)
        target = container.get("targetContainerName")
        if target and target not in targets:
            yield fields.not_found(f"{path}.targetContainerName", target)
        for name, value in container.items():
            if name not in _ALLOWED and value not in (None, [], {}):
                yield fields.forbidden(f"{path}.{name}", "cannot be set for an Ephemeral Container")
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            for name in ("subPath", "subPathExpr"):
                if mount.get(name):
                    yield fields.forbidden(f"{path}.volumeMounts[{number}].{name}", "cannot be set for an Ephemeral Container")


def validate_update(new: Json, old: Json) -> Iterator[Cause]:
    """Ephemeral containers are added, never changed and never removed; static Pods take none."""
    if pods.mirror_of(old):
        yield fields.forbidden("", "static pods do not support ephemeral containers")
        return
    found = {container.get("name"): container for container in new["spec"].get("ephemeralContainers") or ()}
    for before in old["spec"].get("ephemeralContainers") or ():
        name = before["name"]
        if name not in found:
            yield fields.forbidden(_PATH, f'existing ephemeral containers "{name}" may not be removed\n')
        elif found[name] != before:
            changed = sorted(field for field in {*before, *found[name]} if before.get(field) != found[name].get(field))
            yield fields.forbidden(_PATH, f'existing ephemeral containers "{name}" may not be changed\n{", ".join(changed)}')
