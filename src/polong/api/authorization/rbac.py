"""RBAC over the stored roles and bindings: an index by subject, rebuilt when one of them was written, so that a request costs a few set
look-ups. Source: plugin/pkg/auth/authorizer/rbac, pkg/registry/rbac/validation/rule.go (DefaultRuleResolver)."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from polong.api.authorization import aggregation
from polong.api.authorization.rules import Attributes, Rule, compile_rules
from polong.api.objectstore import ObjectStore
from polong.api.resources.rbac import GROUP, ClusterRoleBindings, ClusterRoles, RoleBindings, Roles
from polong.api.service import User
from polong.kit.errors import Conflict

Json = dict[str, Any]

ACCOUNT_PREFIX = "system:serviceaccount:"
_REMEMBERED = 512
_ROLES, _CLUSTER_ROLES = Roles(), ClusterRoles()
_BINDINGS, _CLUSTER_BINDINGS = RoleBindings(), ClusterRoleBindings()
_KINDS = (_ROLES, _CLUSTER_ROLES, _BINDINGS, _CLUSTER_BINDINGS)


@dataclass(frozen=True)
class Grant:
    """Rules that a binding gives, in `namespace` or, where that is empty, everywhere. `by` names the binding for those who ask why."""

    namespace: str
    rules: tuple[Rule, ...]
    by: str
    missing: str = ""
    """What the binding refers to and is not there."""


@dataclass
class _Index:
    subjects: dict[tuple[str, str], list[Grant]] = field(default_factory=dict)

    def add(self, binding: Json, grant: Grant) -> None:
        for subject in binding.get("subjects") or ():
            name = subject.get("name", "")
            if subject.get("kind") == "ServiceAccount":
                namespace = subject.get("namespace") or binding["metadata"].get("namespace", "")
                key = ("User", f"{ACCOUNT_PREFIX}{namespace}:{name}")
            else:
                key = (subject.get("kind", ""), name)
            self.subjects.setdefault(key, []).append(grant)


class Rbac:
    """`allows` and `grants` answer for the roles and bindings as they are stored now."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._index = _Index()
        self._seen: tuple[int, ...] = ()
        self._users: OrderedDict[tuple[str, tuple[str, ...]], list[Grant]] = OrderedDict()

    async def grants(self, user: User) -> list[Grant]:
        """What this user holds, everywhere."""
        if (versions := self._versions()) != self._seen:
            await self._load(versions)
        key = (user.name, user.groups)
        found = self._users.get(key)
        if found is None:
            subjects = self._index.subjects
            found = [*subjects.get(("User", user.name), ())]
            for group in dict.fromkeys(user.groups):
                found += subjects.get(("Group", group), ())
            self._users[key] = found
            if len(self._users) > _REMEMBERED:
                self._users.popitem(last=False)
        return found

    async def allows(self, user: User, wanted: Attributes) -> tuple[bool, str]:
        """Whether, and why: the binding, or what is missing where something is."""
        missing = []
        for grant in await self.grants(user):
            if grant.namespace and grant.namespace != wanted.namespace:
                continue
            if any(rule.allows(wanted) for rule in grant.rules):
                return True, f"RBAC: allowed by {grant.by}"
            if grant.missing and grant.missing not in missing:
                missing.append(grant.missing)
        if not missing:
            return False, ""
        return False, "RBAC: " + (missing[0] if len(missing) == 1 else f"[{', '.join(missing)}]")

    async def rules(self, user: User, namespace: str) -> list[Rule]:
        """What this user holds in a namespace (cluster-wide alone where that is empty)."""
        return [rule for grant in await self.grants(user) if grant.namespace in ("", namespace) for rule in grant.rules]

    # --- loading --------------------------------------------------------------------------------------------------------------

    def _versions(self) -> tuple[int, ...]:
        return tuple(self._store.writes[kind.storage] for kind in _KINDS)

    async def _load(self, versions: tuple[int, ...]) -> None:
        roles = {
            **{("ClusterRole", "", role["metadata"]["name"]): role for role in await self._all(_CLUSTER_ROLES)},
            **{("Role", role["metadata"]["namespace"], role["metadata"]["name"]): role for role in await self._all(_ROLES)},
        }
        compiled = {key: compile_rules(role.get("rules")) for key, role in roles.items()}
        index = _Index()
        for kind in (_CLUSTER_BINDINGS, _BINDINGS):
            for binding in await self._all(kind):
                index.add(binding, _grant(binding, kind.resource.kind, compiled))
        self._index, self._seen = index, versions
        self._users.clear()

    async def _all(self, kind: Any) -> list[Json]:  # noqa: ANN401 - one of the four kinds
        return list((await self._store.page(kind, "")).items)

    async def aggregate(self) -> None:
        """Give every ClusterRole with an aggregationRule the rules of those that it selects. For whoever has just written one."""
        found = await self._all(_CLUSTER_ROLES)
        for name, rules in aggregation.stale(found):
            old, revision = await self._store.get(_CLUSTER_ROLES, "", name)
            # Whoever was faster has aggregated as well.
            with contextlib.suppress(Conflict):
                await self._store.update(_CLUSTER_ROLES, {**old, "rules": rules}, revision)


def _grant(binding: Json, kind: str, compiled: Mapping[tuple[str, str, str], tuple[Rule, ...]]) -> Grant:
    namespace, reference = binding["metadata"].get("namespace", ""), binding.get("roleRef") or {}
    role_kind, role = reference.get("kind", ""), reference.get("name", "")
    rules = compiled.get((role_kind, namespace if role_kind == "Role" else "", role))
    place = f"{binding['metadata']['name']}/{namespace}" if namespace else binding["metadata"]["name"]
    by = f'{kind} "{place}" of {role_kind} "{role}"'
    missing = "" if rules is not None else f'{role_kind.lower()}.{GROUP} "{role}" not found'
    return Grant(namespace, rules or (), by + _to(binding), missing)


def _to(binding: Json) -> str:
    def text(subject: Json) -> str:
        name = subject.get("name", "")
        return (
            f'{subject.get("kind", "")} "{name}/{subject["namespace"]}"'
            if subject.get("namespace")
            else f'{subject.get("kind", "")} "{name}"'
        )

    subjects: Iterator[str] = (text(subject) for subject in binding.get("subjects") or ())
    return f" to {first}" if (first := next(subjects, "")) else ""
