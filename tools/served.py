"""`python -m tools.served` writes the tables of docs/api.md: what the API serves, from its own registry, and which tests try it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e.kinds import SAMPLES

from polong.api.discovery import POLONG, Discovery, Row
from polong.api.resources.kind import STANDARD, Kind
from polong.api.resources.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api.md"
_BEGIN, _END = "<!-- made by `make reference` from here -->", "<!-- to here -->"

MEANS = {
    "Pod": "run by the node",
    "Node": "the machine; other Node objects may be made, only a Ready one is a place for Pods",
    "Namespace": "deleted in order: Pods, everything else, finalizers of others waited for",
    "ConfigMap": "volumes and environment; `immutable`; `kube-root-ca.crt` in every namespace",
    "Secret": "volumes, environment, image pulls; typed; values are in no log, no describe, no audit record",
    "ServiceAccount": "`default` in every namespace; tokens; image pull secrets",
    "LimitRange": "defaults and bounds of Pods and claims when they are made",
    "ResourceQuota": "counted from the objects, under a lock while one more is stored; scopes; status",
    "PodTemplate": "kept and validated",
    "PersistentVolumeClaim": "bound to a directory of the node that goes with the claim; class `standard`; sizes are not enforced",
    "Service": "an address of its own that leads to ready Pods (TCP, UDP, SCTP), node ports, variables and names in Pods",
    "Endpoints": "kept from the Pods of Services; those that others keep are mirrored into slices",
    "EndpointSlice": "kept from the Pods of Services; what leads packets and names headless Services",
    "RuntimeClass": "handler, overhead, scheduling",
    "PriorityClass": "a Pod's priority: who is placed first; nothing is preempted",
    "Event": "core/v1 and events.k8s.io/v1 over one store; kept for an hour after the last time",
    "Lease": "the node's heartbeat, and anybody's",
    "Role": "RBAC",
    "ClusterRole": "RBAC, with aggregation",
    "RoleBinding": "RBAC",
    "ClusterRoleBinding": "RBAC",
}
"""What stands behind a kind, in a few words."""


def _files(directory: str, kind: Kind) -> list[str]:
    """Test modules that speak of the kind's path or plural."""
    plural = kind.resource.plural
    found = re.compile(rf'["/`]{plural}["/\s`\\?]|\b{kind.resource.kind}s\b')
    return sorted(path.stem for path in (ROOT / "tests" / directory).rglob("test_*.py") if found.search(path.read_text()))


def _checked(kind: Kind) -> str:
    name = f"{kind.resource.plural}.{kind.resource.group}" if kind.resource.group else kind.resource.plural
    parts = ["clients"] if name in SAMPLES or kind.resource.kind == "Event" else []
    for directory in ("conformance", "unit/api"):
        if files := _files(directory, kind):
            shown = ", ".join(f"`{each.removeprefix('test_')}`" for each in files[:4])
            parts.append(f"{directory}: {shown}{' …' if len(files) > 4 else ''}")
    return "; ".join(parts)


def _is_kept(kind: Kind) -> bool:
    """A collection of objects, no question that is answered once."""
    return "list" in kind.verbs


def _verbs(kind: Kind) -> str:
    missing = [verb for verb in STANDARD if verb not in kind.verbs]
    return "all" if not missing else f"all but {', '.join(missing)}" if len(missing) < 3 else ", ".join(kind.verbs)


def _kinds(registry: Registry) -> list[str]:
    lines = ["| kind | version | verbs | subresources | what stands behind it | tried by |", "|---|---|---|---|---|---|"]
    for group, version in registry.groups:
        for kind in filter(_is_kept, registry.of_group(group, version)):
            title = f"{kind.resource.kind} {' '.join(f'`{each}`' for each in kind.short_names)}".strip()
            subresources = ", ".join(sub.name for sub in kind.subresources)
            api = f"{group}/{version}" if group else version
            means = MEANS[kind.resource.kind]
            lines.append(f"| {title} | {api} | {_verbs(kind)} | {subresources} | {means} | {_checked(kind)} |")
    return lines


def _others(discovery: Discovery, registry: Registry) -> list[str]:
    """What discovery has besides the registry's kinds: reviews, metrics, Polong's own."""
    known = {(kind.resource.group, kind.resource.version, kind.resource.plural) for kind in registry if _is_kept(kind)}
    lines = ["| resource | version | verbs |", "|---|---|---|"]
    for group, version in discovery.group_versions:
        rows: list[Row] = [row for row in discovery.rows(group, version) if (group, version, row.name.partition("/")[0]) not in known]
        if (group, version) == POLONG:
            rows = discovery.rows(group, version)
        lines += [f"| {row.name} | {group}/{version} | {', '.join(row.verbs)} |" for row in rows]
    return lines


def tables() -> str:
    registry = Registry("node")
    return "\n".join([_BEGIN, "", *_kinds(registry), "", "Besides:", "", *_others(Discovery(registry), registry), "", _END])


def render(page: str) -> str:
    """The page with its tables made anew."""
    head, _, rest = page.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    return head + tables() + tail


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
    print(f"wrote {PAGE.name}")
