"""What may change in a Pod, by which door. Source: pkg/apis/core/validation/validation.go (ValidatePodUpdate, ValidatePodResize)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from polong.api.resources import fields
from polong.kit.errors import Cause

Json = dict[str, Any]

_MAX_DEADLINE = 2**31 - 1
_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_FREE = frozenset({"tolerations", "activeDeadlineSeconds", "schedulingGates"})
_DIFF_LIMIT = 4096


def validate(new: Json, old: Json) -> Iterator[Cause]:
    """Only images, a shorter deadline and more tolerations may change; both specs are defaulted."""
    for field in ("containers", "initContainers"):
        after, before = new.get(field) or [], old.get(field) or []
        if len(after) != len(before):
            yield fields.forbidden(f"spec.{field}", "pod updates may not add or remove containers")
            return
        for index, container in enumerate(after):
            if not container.get("image"):
                yield fields.required(f"spec.{field}[{index}].image")
    refusal = _deadline(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))
    if refusal is not None:
        yield refusal
        return
    for toleration in old.get("tolerations") or ():
        if not any(_same(toleration, one) for one in new.get("tolerations") or ()):
            yield fields.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
            return
    held = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    for index, gate in enumerate(new.get("schedulingGates") or ()):
        if gate.get("name") not in held:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'"
            yield fields.forbidden(f"spec.schedulingGates[{index}]", text)
            return
    after, before = _fixed(new), _fixed(old)
    if held:
        # While it is gated a Pod may still be given a narrower place.
        chosen = before.get("nodeSelector") or {}
        if chosen.items() <= (after.get("nodeSelector") or {}).items():
            before = {**before, "nodeSelector": after.get("nodeSelector")} if "nodeSelector" in after else before
    if after != before:
        yield fields.forbidden("spec", f"pod updates may not change fields other than {_UPDATABLE}\n{difference(after, before)}")


def _deadline(new: int | None, old: int | None) -> Cause | None:
    path = "spec.activeDeadlineSeconds"
    if new is None:
        return fields.invalid(path, None, "must not update from a positive integer to nil value") if old is not None else None
    if not 0 <= new <= _MAX_DEADLINE:
        return fields.invalid(path, new, f"must be between 0 and {_MAX_DEADLINE}, inclusive")
    if old is not None and old < new:
        return fields.invalid(path, new, "must be less than or equal to previous value")
    return None


def _same(one: Json, other: Json) -> bool:
    return {**one, "tolerationSeconds": None} == {**other, "tolerationSeconds": None}


def _fixed(spec: Json) -> Json:
    """`spec` without what an update may change."""
    fixed = {name: value for name, value in spec.items() if name not in _FREE}
    for field in ("containers", "initContainers"):
        if field in spec:
            fixed[field] = [{name: value for name, value in container.items() if name != "image"} for container in spec[field]]
    return fixed


def difference(new: Json, old: Json) -> str:
    """Path, old value and new value of what differs, a line each; bounded."""
    lines = "\n".join(_differences(new, old, "spec"))
    return lines if len(lines) <= _DIFF_LIMIT else lines[:_DIFF_LIMIT] + " ..."


def _differences(new: object, old: object, path: str) -> Iterator[str]:
    if isinstance(new, dict) and isinstance(old, dict):
        for name in sorted({*new, *old}):
            if new.get(name) != old.get(name):
                yield from _differences(new.get(name), old.get(name), f"{path}.{name}")
    elif isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        for index, (after, before) in enumerate(zip(new, old, strict=True)):
            if after != before:
                yield from _differences(after, before, f"{path}[{index}]")
    else:
        yield f"  {path}:"
        yield f"- \t{json.dumps(old, ensure_ascii=False)}"
        yield f"+ \t{json.dumps(new, ensure_ascii=False)}"
