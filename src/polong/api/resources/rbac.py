"""rbac.authorization.k8s.io/v1: Role, ClusterRole, RoleBinding, ClusterRoleBinding. Source: pkg/apis/rbac (validation, v1/defaults.go)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from polong.api.resources import fields, metadata
from polong.api.resources.kind import Context, Kind
from polong.api.tables.columns import AGE, NAME, Column
from polong.kit.errors import Cause
from polong.objects import names
from polong.objects.gvk import Resource

Json = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
_CREATED = Column(
    "Created At", lambda obj, _: str(obj["metadata"].get("creationTimestamp") or ""), description="When the object was created."
)


class _Rbac(Kind):
    def name_errors(self, name: str) -> list[str]:
        """Any name that can stand in a URL, such as `system:discovery`."""
        return names.path_segment_errors(name)


class _Role(_Rbac):
    columns = (NAME, _CREATED)

    def default(self, obj: Json, context: Context) -> None:
        obj.setdefault("rules", [])

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=self.resource.namespaced)
        for index, rule in enumerate(obj.get("rules") or ()):
            causes += _rule(rule, f"rules[{index}]", namespaced=self.resource.namespaced)
        return causes


def _rule(rule: Json, path: str, *, namespaced: bool) -> Iterator[Cause]:
    if not rule.get("verbs"):
        yield fields.required(f"{path}.verbs", "verbs must contain at least one value")
    if urls := rule.get("nonResourceURLs"):
        if namespaced:
            yield fields.invalid(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            yield fields.invalid(f"{path}.nonResourceURLs", urls, text)
        return
    if not rule.get("apiGroups"):
        yield fields.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield fields.required(f"{path}.resources", "resource rules must supply at least one resource")


class Roles(_Role):
    resource = Resource(GROUP, "v1", "roles", "Role")
    singular = "role"


class ClusterRoles(_Role):
    resource = Resource(GROUP, "v1", "clusterroles", "ClusterRole", namespaced=False)
    singular = "clusterrole"


def _subjects(kind: str, binding: Json) -> str:
    found = [subject for subject in binding.get("subjects") or () if subject.get("kind") == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{subject.get('namespace', '')}/{subject.get('name', '')}" for subject in found)
    return ", ".join(str(subject.get("name", "")) for subject in found)


class _Binding(_Rbac):
    columns = (
        NAME,
        Column("Role", lambda obj, _: f"{obj['roleRef'].get('kind', '')}/{obj['roleRef'].get('name', '')}", description="The role."),
        AGE,
        Column("Users", lambda obj, _: _subjects("User", obj), priority=1, description="Users in the binding."),
        Column("Groups", lambda obj, _: _subjects("Group", obj), priority=1, description="Groups in the binding."),
        Column("ServiceAccounts", lambda obj, _: _subjects("ServiceAccount", obj), priority=1, description="Accounts in the binding."),
    )
    unconditional_update = True

    def default(self, obj: Json, context: Context) -> None:
        reference = obj.setdefault("roleRef", {})
        reference["apiGroup"] = reference.get("apiGroup") or GROUP
        for subject in obj.get("subjects") or ():
            if subject.get("kind") in ("User", "Group"):
                subject["apiGroup"] = subject.get("apiGroup") or GROUP

    def validate(self, obj: Json) -> Sequence[Cause]:
        namespaced = self.resource.namespaced
        causes = metadata.validate(obj, self.name_errors, namespaced=namespaced)
        causes += _role_ref(obj.get("roleRef") or {}, ("Role", "ClusterRole") if namespaced else ("ClusterRole",))
        for index, subject in enumerate(obj.get("subjects") or ()):
            causes += _subject(subject, f"subjects[{index}]", namespaced=namespaced)
        return causes

    def validate_update(self, new: Json, old: Json, subresource: str) -> Sequence[Cause]:
        if new.get("roleRef") != old.get("roleRef"):
            return [fields.invalid("roleRef", new.get("roleRef"), "cannot change roleRef")]
        return ()


def _role_ref(reference: Json, kinds: tuple[str, ...]) -> Iterator[Cause]:
    if reference.get("apiGroup") != GROUP:
        yield fields.unsupported("roleRef.apiGroup", reference.get("apiGroup", ""), (GROUP,))
    if reference.get("kind") not in kinds:
        yield fields.unsupported("roleRef.kind", reference.get("kind", ""), kinds)
    name = reference.get("name", "")
    if not name:
        yield fields.required("roleRef.name")
    for error in names.path_segment_errors(name):
        yield fields.invalid("roleRef.name", name, error)


def _subject(subject: Json, path: str, *, namespaced: bool) -> Iterator[Cause]:
    name, group = subject.get("name", ""), subject.get("apiGroup", "")
    if not name:
        yield fields.required(f"{path}.name")
    match subject.get("kind"):
        case "ServiceAccount":
            for error in names.dns_subdomain_errors(name) if name else ():
                yield fields.invalid(f"{path}.name", name, error)
            if group:
                yield fields.unsupported(f"{path}.apiGroup", group, ("",))
            if not namespaced and not subject.get("namespace"):
                yield fields.required(f"{path}.namespace")
        case "User" | "Group":
            if group != GROUP:
                yield fields.unsupported(f"{path}.apiGroup", group, (GROUP,))
        case other:
            yield fields.unsupported(f"{path}.kind", other or "", ("ServiceAccount", "User", "Group"))


class RoleBindings(_Binding):
    resource = Resource(GROUP, "v1", "rolebindings", "RoleBinding")
    singular = "rolebinding"


class ClusterRoleBindings(_Binding):
    resource = Resource(GROUP, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
    singular = "clusterrolebinding"
