"""pods/resize: cpu and memory of running containers, and nothing else.

Source: pkg/registry/core/pod/strategy.go (podResizeStrategy), pkg/apis/core/validation (ValidatePodResize), KEP-1287.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polong.api.resources import fields, pod_updates
from polong.api.resources.pod_ephemeral import KEPT_METADATA
from polong.kit.errors import Cause
from polong.objects import pod as pods

Json = dict[str, Any]

_RESIZABLE = frozenset({"cpu", "memory"})
_FIELDS = ("containers", "initContainers")


def keep_the_rest(new: Json, old: Json) -> None:
    """Take the Pod's own resources, and those and the resize policies of containers by their names, from `new`; whatever else it says is
    discarded."""
    asked = new.get("spec") or {}
    new["spec"] = old["spec"]
    new["spec"].pop("resources", None)
    if "resources" in asked:
        new["spec"]["resources"] = asked["resources"]
    for field in _FIELDS:
        given = {container.get("name"): container for container in asked.get(field) or ()}
        for container in new["spec"].get(field) or ():
            found = given.get(container.get("name"))
            if found is None:
                continue
            for name in ("resources", "resizePolicy"):
                container.pop(name, None)
                if name in found:
                    container[name] = found[name]
    for name in KEPT_METADATA:
        new["metadata"].pop(name, None)
        if name in old["metadata"]:
            new["metadata"][name] = old["metadata"][name]


def validate_update(new: Json, old: Json) -> Iterator[Cause]:
    """`old` is the Pod as stored, `new` the same with other resources, defaulted."""
    if pods.mirror_of(old):
        yield fields.forbidden("", "static pods cannot be resized")
        return
    before = old.get("status", {}).get("qosClass") or pods.qos_class(old)
    if pods.qos_class(new) != before:
        yield fields.invalid("spec", pods.qos_class(new), "Pod QOS Class may not change as a result of resizing")
    yield from _removed(new["spec"], old["spec"], "spec.resources")
    for field in _FIELDS:
        for index, (after, was) in enumerate(zip(new["spec"].get(field) or (), old["spec"].get(field) or (), strict=True)):
            yield from _removed(after, was, f"spec.{field}[{index}].resources")
    after, was = _fixed(new["spec"]), _fixed(old["spec"])
    if after != was:
        yield fields.forbidden("spec", f"only cpu and memory resources are mutable\n{pod_updates.difference(after, was)}")


def _removed(after: Json, was: Json, path: str) -> Iterator[Cause]:
    for part, word in (("requests", "requests"), ("limits", "limits")):
        had, has = ((container.get("resources") or {}).get(part) or {} for container in (was, after))
        if set(had) - set(has):
            yield fields.forbidden(f"{path}.{part}", f"resource {word} cannot be removed")


def _fixed(spec: Json) -> Json:
    """`spec` without cpu and memory of what may be resized: regular containers and side-cars."""
    fixed = _without(spec) if spec.get("resources") else dict(spec)
    for field in _FIELDS:
        if field in spec:
            fixed[field] = [_without(one) if field == "containers" or one.get("restartPolicy") == "Always" else one for one in spec[field]]
    return fixed


def _without(container: Json) -> Json:
    resources = dict(container.get("resources") or {})
    for part in ("limits", "requests"):
        kept = {name: value for name, value in (resources.get(part) or {}).items() if name not in _RESIZABLE}
        resources.pop(part, None)
        if kept:
            resources[part] = kept
    return {**container, "resources": resources}
