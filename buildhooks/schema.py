"""Kubernetes' schema as package data: src/polong/objects/schema.json.

Taken from the newest definitions of `kubernetes-validate` (a build requirement, never a runtime one), cut down to what is reachable
from the kinds that Polong serves or will serve soon. Definitions keep OpenAPI's form under their OpenAPI v3 names, `$ref`s point to
`#/components/schemas/…`, so that /openapi/v3 can serve them as they are.
"""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

TARGET = "src/polong/objects/schema.json"

Node = Any  # a node of a JSON document

_CORE = "io.k8s.api.core.v1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_LISTED = (
    *("core.v1." + kind for kind in ("Pod", "Node", "Namespace", "Event", "ConfigMap", "Secret", "ServiceAccount", "Service", "Endpoints")),
    *("core.v1." + kind for kind in ("PodTemplate", "LimitRange", "ResourceQuota", "PersistentVolumeClaim", "PersistentVolume")),
    "coordination.v1.Lease",
    "discovery.v1.EndpointSlice",
    "events.v1.Event",
    "node.v1.RuntimeClass",
    "policy.v1.PodDisruptionBudget",
    *("rbac.v1." + kind for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")),
    "scheduling.v1.PriorityClass",
    "storage.v1.StorageClass",
)
"""Kinds of which there are collections: with their Lists."""

ROOTS = (
    *(f"io.k8s.api.{kind}{suffix}" for kind in _LISTED for suffix in ("", "List")),
    _CORE + "Binding",
    *(
        _META + kind
        for kind in ("Status", "DeleteOptions", "ObjectMeta", "ListMeta", "APIResourceList", "APIGroupList", "APIGroup", "WatchEvent")
    ),
    "io.k8s.api.policy.v1.Eviction",
    *(
        "io.k8s.api.authorization.v1." + kind
        for kind in ("LocalSubjectAccessReview", "SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview")
    ),
    *("io.k8s.api.authentication.v1." + kind for kind in ("SelfSubjectReview", "TokenRequest", "TokenReview")),
)

_LOCAL_REF = "#/$defs/"
_REF = "#/components/schemas/"


def _newest_definitions() -> dict[str, Any]:
    """The `$defs` of the newest Kubernetes version in the installed kubernetes_validate (found, not imported: it is slow)."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        raise RuntimeError("cannot extract Kubernetes' schema: kubernetes-validate is not installed (it is a build requirement)")
    versions = [
        (tuple(int(part) for part in match.groups()), folder)
        for folder in (Path(spec.origin).parent / "kubernetes-json-schema").iterdir()
        if (match := re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)-local", folder.name))
    ]
    definitions = json.loads((max(versions)[1] / "_definitions.json").read_text())["$defs"]
    assert isinstance(definitions, dict)
    return definitions


def _clean(node: Node) -> Node:
    """Undo what the JSON-schema conversion added (nullable types, pinned kinds) and rename references."""
    if isinstance(node, list):
        return [_clean(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {}
    for key, value in node.items():
        if key == "$ref":
            result[key] = _REF + value.removeprefix(_LOCAL_REF)
        elif key == "type" and isinstance(value, list):
            result[key] = next(name for name in value if name != "null")
        elif key == "properties":
            result[key] = {name: _clean(child) for name, child in value.items()}
        elif key != "enum":
            result[key] = _clean(value)
    return result


def _references(node: Node) -> set[str]:
    if isinstance(node, list):
        return set().union(*(_references(item) for item in node)) if node else set()
    if isinstance(node, dict):
        found = {node["$ref"].removeprefix(_REF)} if isinstance(node.get("$ref"), str) else set()
        return found.union(*(_references(value) for value in node.values()))
    return set()


def extract(definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions reachable from ROOTS, cleaned, sorted by name."""
    wanted = [root for root in ROOTS if root in definitions]
    taken: dict[str, Any] = {}
    while wanted:
        name = wanted.pop()
        if name in taken or name not in definitions:
            continue
        taken[name] = _clean(definitions[name])
        wanted.extend(_references(taken[name]))
    int_or_string = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
    if int_or_string in taken:
        taken[int_or_string] = {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
    return dict(sorted(taken.items()))


def build(root: Path) -> list[Path]:
    """Write the schema unless it is already there; the files made. An sdist without kubernetes-validate may carry it."""
    target = root / TARGET
    if not target.exists() or target.stat().st_mtime < Path(__file__).stat().st_mtime:
        data = json.dumps(extract(_newest_definitions()), separators=(",", ":"), ensure_ascii=False)
        temporary = target.with_suffix(".tmp")
        temporary.write_text(data, encoding="utf-8")
        temporary.replace(target)
    return [target]
