"""Roles and bindings that every node has, as far as they are about what this API serves.

Source: plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go. Each carries the annotation `autoupdate: "true"`: what it lacks is
added again at every start, unless somebody sets that to "false".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polong.api.authorization.rules import compile_rules, uncovered
from polong.api.objectstore import ObjectStore
from polong.api.resources.kind import Kind
from polong.api.resources.rbac import GROUP, ClusterRoleBindings, ClusterRoles
from polong.kit import ids
from polong.kit.errors import AlreadyExists, Conflict

Json = dict[str, Any]

_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_BOOTSTRAPPING = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_HEALTH = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"]


def _rule(verbs: Sequence[str], group: str, *resources: str) -> Json:
    return {"apiGroups": [group], "resources": sorted(resources), "verbs": sorted(verbs)}


def _paths(*paths: str) -> Json:
    return {"nonResourceURLs": list(paths), "verbs": ["get"]}


_VIEW = [
    _rule(
        _READ, "", "configmaps", "endpoints", "persistentvolumeclaims", "persistentvolumeclaims/status", "pods", "podtemplates",
        "serviceaccounts", "services", "services/status",
    ),
    _rule(
        _READ, "", "bindings", "events", "limitranges", "namespaces", "namespaces/status", "pods/log", "pods/status", "resourcequotas",
        "resourcequotas/status",
    ),
    _rule(_READ, "discovery.k8s.io", "endpointslices"),
    _rule(_READ, "events.k8s.io", "events"),
    _rule(_READ, "metrics.k8s.io", "pods"),
    _rule(["get", "watch"], "polong.dev", "pods/access", "pods/processes"),
]  # fmt: skip
_EDIT = [
    _rule(_READ, "", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"),
    _rule(["impersonate"], "", "serviceaccounts"),
    _rule(_WRITE, "", "pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"),
    _rule(["create"], "", "pods/eviction"),
    _rule(["patch", "update"], "", "pods/ephemeralcontainers", "pods/resize"),
    _rule(
        _WRITE,
        "",
        "configmaps",
        "events",
        "persistentvolumeclaims",
        "podtemplates",
        "secrets",
        "serviceaccounts",
        "services",
        "services/proxy",
    ),
    _rule(["create"], "", "serviceaccounts/token"),
    _rule([*_READ, *_WRITE], "coordination.k8s.io", "leases"),
    _rule(["create"], "polong.dev", "pods/files", "pods/restart", "pods/signal"),
]
_ADMIN = [
    _rule(["create"], "authorization.k8s.io", "localsubjectaccessreviews"),
    _rule([*_READ, *_WRITE], GROUP, "rolebindings", "roles"),
]

_RULES: dict[str, list[Json]] = {
    "cluster-admin": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}],
    "system:auth-delegator": [
        _rule(["create"], "authentication.k8s.io", "tokenreviews"),
        _rule(["create"], "authorization.k8s.io", "subjectaccessreviews"),
    ],
    "system:basic-user": [
        _rule(["create"], "authorization.k8s.io", "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
        _rule(["create"], "authentication.k8s.io", "selfsubjectreviews"),
    ],
    "system:discovery": [_paths(*_DISCOVERY)],
    "system:monitoring": [_paths("/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz", "/readyz/*")],
    "system:public-info-viewer": [_paths(*_HEALTH)],
    "system:service-account-issuer-discovery": [
        _paths("/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/")
    ],
}  # fmt: skip
# Name -> the parts that make it up, each a role of its own that anybody may add to by label.
_AGGREGATED = {"admin": ("admin", "edit", "view"), "edit": ("edit", "view"), "view": ("view",)}
_PARTS = {"admin": _ADMIN, "edit": _EDIT, "view": _VIEW}
_BINDINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cluster-admin": ("cluster-admin", ("system:masters",)),
    "system:basic-user": ("system:basic-user", ("system:authenticated",)),
    "system:discovery": ("system:discovery", ("system:authenticated",)),
    "system:monitoring": ("system:monitoring", ("system:monitoring",)),
    "system:public-info-viewer": ("system:public-info-viewer", ("system:authenticated", "system:unauthenticated")),
    "system:service-account-issuer-discovery": ("system:service-account-issuer-discovery", ("system:serviceaccounts",)),
}


def _label(part: str) -> str:
    return f"{GROUP}/aggregate-to-{part}"


def roles() -> list[Json]:
    found = [_role(name, rules) for name, rules in _RULES.items()]
    for part, rules in _PARTS.items():
        found.append(_role(f"system:aggregate-to-{part}", rules, {_label(part): "true"}))
    for name in _AGGREGATED:
        # "edit" is a part of "admin", and "view" of "edit": the labels of the roles themselves say so.
        role = _role(name, [], {_label(above): "true" for above in {"view": ("edit",), "edit": ("admin",)}.get(name, ())})
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {_label(name): "true"}}]}
        found.append(role)
    return found


def _role(name: str, rules: list[Json], labels: dict[str, str] | None = None) -> Json:
    return _object("ClusterRole", name, labels) | {"rules": rules}


def _object(kind: str, name: str, labels: dict[str, str] | None = None) -> Json:
    metadata = {"name": name, "labels": {**_BOOTSTRAPPING, **(labels or {})}, "annotations": {_AUTOUPDATE: "true"}}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata}


def bindings() -> list[Json]:
    return [
        _object("ClusterRoleBinding", name)
        | {
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": group} for group in groups],
        }
        for name, (role, groups) in _BINDINGS.items()
    ]


async def ensure(store: ObjectStore, now: str) -> None:
    """Make what is not there, and add what is missing of what is."""
    for kind, wanted in ((ClusterRoles(), roles()), (ClusterRoleBindings(), bindings())):
        for obj in wanted:
            await _ensure(store, kind, obj, now)


async def _ensure(store: ObjectStore, kind: Kind, wanted: Json, now: str) -> None:
    found = await store.find(kind, "", wanted["metadata"]["name"])
    try:
        if found is None:
            metadata = {**wanted["metadata"], "uid": ids.uid(), "creationTimestamp": now}
            await store.create(kind, {**wanted, "metadata": metadata})
        elif (repaired := _repaired(found[0], wanted)) is not None:
            await store.update(kind, repaired, found[1])
    except (AlreadyExists, Conflict):
        return


def _repaired(old: Json, wanted: Json) -> Json | None:
    """`old` with what it lacks; None where it lacks nothing, or nobody may touch it."""
    if (old["metadata"].get("annotations") or {}).get(_AUTOUPDATE) != "true":
        return None
    new = {**old, "metadata": {**old["metadata"]}}
    new["metadata"]["labels"] = {**(old["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]}
    if "subjects" in wanted:
        had = old.get("subjects") or []
        new["subjects"] = [*had, *(subject for subject in wanted["subjects"] if subject not in had)]
    elif "aggregationRule" in wanted:
        new["aggregationRule"] = wanted["aggregationRule"]
    elif uncovered(compile_rules(old.get("rules")), compile_rules(wanted["rules"])):
        had = old.get("rules") or []
        new["rules"] = [*had, *(rule for rule in wanted["rules"] if rule not in had)]
    return new if new != old else None
