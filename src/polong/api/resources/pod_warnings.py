"""What is accepted in a Pod and yet is hardly what its author meant: the warnings that kubectl prints. Pure.

Source: pkg/api/pod/warnings.go (GetWarningsForPod), pkg/api/node/util.go, pkg/registry/core/pod/strategy.go (WarningsOnCreate).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from polong.objects import names, quantity
from polong.objects import pod as pods

Json = dict[str, Any]

_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_APPARMOR_CONTAINER = "container.apparmor.security.beta.kubernetes.io/"
_USE_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_BYTES = ("memory", "ephemeral-storage")
_NO_MATCH = "labelSelector: a null labelSelector results in matching no pod"
_REQUIRED, _PREFERRED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"


def of_pod(pod: Json) -> list[str]:
    """When a Pod is made."""
    found = names.dns_label_errors(pods.name(pod))
    text = "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"
    return [*([f"{text}: [{' '.join(found)}]"] if found else []), *of_template(pod, "")]


def of_template(template: Json, prefix: str = "template.") -> Iterator[str]:
    """`prefix` stands before every field's path."""
    spec, annotations = pods.spec(template), (template.get("metadata") or {}).get("annotations") or {}
    for text in (
        *_places(spec),
        *(f"metadata.annotations[{key}]: {why}" for key, why in _ANNOTATIONS.items() if key in annotations),
        *_twice("spec.hostAliases", "ip", spec.get("hostAliases") or ()),
        *_twice("spec.imagePullSecrets", "name", spec.get("imagePullSecrets") or ()),
        *_fractions("spec.overhead", spec.get("overhead") or {}),
        *_profiles(template, spec, annotations, is_template=bool(prefix)),
        *_containers(template),
        *_ports(template),
        *_affinity(spec.get("affinity") or {}),
    ):
        yield prefix + text
    for volume in spec.get("volumes") or ():
        yield from _overlaps(volume)


def _places(spec: Json) -> Iterator[str]:
    """Labels of nodes that have newer names."""
    for key in spec.get("nodeSelector") or ():
        if key in _LABELS:
            yield f"spec.nodeSelector[{key}]: {_LABELS[key]}"
    wanted = ((spec.get("affinity") or {}).get("nodeAffinity")) or {}
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    terms = [(f"{path}[{i}]", term) for i, term in enumerate((wanted.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ())]
    path = f"spec.affinity.nodeAffinity.{_PREFERRED}"
    terms += [(f"{path}[{i}].preference", each.get("preference") or {}) for i, each in enumerate(wanted.get(_PREFERRED) or ())]
    for path, term in terms:
        for i, expression in enumerate(term.get("matchExpressions") or ()):
            if expression.get("key") in _LABELS:
                yield f"{path}.matchExpressions[{i}].key: {expression['key']} is {_LABELS[expression['key']]}"
    for i, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        key = constraint.get("topologyKey", "")
        if key in _LABELS:
            yield f"spec.topologySpreadConstraints[{i}].topologyKey: {key} is {_LABELS[key]}"
        if constraint.get("labelSelector") is None:
            yield f"spec.topologySpreadConstraints[{i}].{_NO_MATCH}"


def _twice(path: str, field: str, entries: Sequence[Json]) -> Iterator[str]:
    seen = set()
    for i, entry in enumerate(entries):
        value = entry.get(field, "")
        if value in seen:
            yield f"{path}[{i}].{field}: duplicate {field} {json.dumps(value)}"
        seen.add(value)
    if field == "name":
        yield from (f'{path}[{i}].name: invalid empty name ""' for i, entry in enumerate(entries) if not entry.get("name"))


def _fractions(path: str, amounts: Json) -> Iterator[str]:
    for name in _BYTES:
        if name in amounts and quantity.milli(amounts[name]) % 1000:
            given = quantity.canonical(amounts[name])
            yield f"{path}[{name}]: fractional byte value {json.dumps(given)} is invalid, must be an integer"


def _profiles(template: Json, spec: Json, annotations: Json, *, is_template: bool) -> Iterator[str]:
    """Annotations that fields have taken the place of."""
    context = spec.get("securityContext") or {}
    if _SECCOMP in annotations and not context.get("seccompProfile"):
        yield f"metadata.annotations[{_SECCOMP}]: {_USE_SECCOMP}"
    for _, _, container in pods.all_containers(template):
        own = container.get("securityContext") or {}
        key = _SECCOMP_CONTAINER + container.get("name", "")
        if key in annotations and not own.get("seccompProfile"):
            yield f"metadata.annotations[{key}]: {_USE_SECCOMP}"
        key = _APPARMOR_CONTAINER + container.get("name", "")
        if is_template and key in annotations and not (own.get("appArmorProfile") or context.get("appArmorProfile")):
            yield f'metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'


def _containers(template: Json) -> Iterator[str]:
    for field, index, container in pods.all_containers(template):
        path = f"spec.{field}[{index}]"
        for part in ("limits", "requests"):
            yield from _fractions(f"{path}.resources.{part}", (container.get("resources") or {}).get(part) or {})
        seen = set()
        for i, variable in enumerate(container.get("env") or ()):
            name, value = variable.get("name", ""), variable.get("value", "")
            # X=abc, then X=$(X)d, is how one adds to a variable.
            adds = not variable.get("valueFrom") and f"$({name})" in value and value != f"$({name})"
            if name in seen and not adds:
                text = f"hides previous definition of {json.dumps(name)}, which may be dropped when using apply"
                yield f"{path}.env[{i}]: {text}"
            seen.add(name)


def _ports(template: Json) -> Iterator[str]:
    known: dict[tuple[Any, Any], list[tuple[str, Json]]] = {}
    for field, index, container in pods.all_containers(template):
        for i, port in enumerate(container.get("ports") or ()):
            path = f"spec.{field}[{index}].ports[{i}]"
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{path}: hostIP set without hostPort: {json.dumps(port)}"
            others = known.setdefault((port.get("containerPort"), port.get("protocol", "TCP")), [])
            for other_path, other in others:
                if how := _clash(port, other):
                    yield f"{path}: {how} port definition with {other_path}"
            others.append((path, port))


def _clash(port: Json, other: Json) -> str:
    """How two definitions of one port of the Pod disturb each other."""
    address, other_address = port.get("hostIP", ""), other.get("hostIP", "")
    number, other_number = port.get("hostPort", 0), other.get("hostPort", 0)
    if (address, number) == (other_address, other_number):
        return "duplicate"
    if not number or not other_number:
        return "overlapping"
    return "dangerously ambiguous" if number == other_number and bool(address) != bool(other_address) else ""


def grace(spec: Json, prefix: str = "") -> Iterator[str]:
    """Of a spec as it was given: its default is 1 where it is negative."""
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield f"{prefix}spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"


def _affinity(affinity: Json) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        wanted, path = affinity.get(kind) or {}, f"spec.affinity.{kind}"
        for i, term in enumerate(wanted.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{path}.{_REQUIRED}[{i}].{_NO_MATCH}"
        for i, each in enumerate(wanted.get(_PREFERRED) or ()):
            if (each.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{path}.{_PREFERRED}[{i}].podAffinityTerm.{_NO_MATCH}"


def _overlaps(volume: Json) -> Iterator[str]:
    """Files of one volume that would lie over each other."""
    for paths, what in _sources(volume):
        yield from _overlapping(paths, f"volume {json.dumps(volume.get('name', ''))} ({what}): overlapping paths")
    before: list[str] = []
    for source in (volume.get("projected") or {}).get("sources") or ():
        for paths, what in _sources(source, projected=True):
            text = f"volume {json.dumps(volume.get('name', ''))} (Projected {what}): overlapping paths"
            yield from _overlapping(paths, text)
            yield from _overlapping(sorted([*dict.fromkeys(paths), *before]), text)
            before += dict.fromkeys(paths)


def _sources(volume: Json, *, projected: bool = False) -> Iterator[tuple[list[str], str]]:
    for field, kind, name in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "name" if projected else "secretName")):
        if (source := volume.get(field)) and source.get("items"):
            yield [each.get("path", "") for each in source["items"]], f"{kind} {json.dumps(source.get(name, ''))}"
    if (source := volume.get("downwardAPI")) and source.get("items"):
        yield [each.get("path", "") for each in source["items"]], "DownwardAPI"
    if projected and (source := volume.get("serviceAccountToken")):
        yield [source.get("path", "")], "ServiceAccountToken"


def _overlapping(paths: Iterable[str], text: str) -> Iterator[str]:
    seen: list[str] = []
    for path in (each.rstrip("/") for each in paths):
        found = next((other for other in seen if path and other and _within(path, other)), "")
        if found:
            yield f"{text}: {json.dumps(path)} with {json.dumps(found)}"
        seen.append(path)


def _within(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
