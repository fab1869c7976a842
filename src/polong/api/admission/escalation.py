"""Nobody gives away what he does not hold: writes of roles and bindings. Source: pkg/registry/rbac/{role,clusterrole,rolebinding,
clusterrolebinding}/policybased, pkg/registry/rbac/escalation_check.go."""

from __future__ import annotations

from typing import Any

from polong.api.admission.chain import Attempt, Plugin
from polong.api.authorization.authorizer import Authorizer
from polong.api.authorization.rules import Attributes, Rule, compile_rules, quoted, uncovered
from polong.api.resources.rbac import GROUP, ClusterRoles, Roles
from polong.api.service import MASTERS, User

Json = dict[str, Any]

_ROLE_KINDS = {"Role": Roles(), "ClusterRole": ClusterRoles()}


class Escalation(Plugin):
    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, attempt: Attempt) -> None:
        resource, user = attempt.kind.resource, attempt.user
        if resource.group != GROUP or user is None or MASTERS in user.groups or attempt.subresource:
            return
        if resource.kind in _ROLE_KINDS:
            await self._role(attempt, user)
        else:
            await self._binding(attempt, user)

    async def _may(self, user: User, verb: str, resource: str, namespace: str, name: str) -> bool:
        return (await self._authorizer.decide(user, Attributes(verb, GROUP, resource, "", namespace, name))).allowed

    async def _role(self, attempt: Attempt, user: User) -> None:
        resource, name = attempt.kind.resource, attempt.obj["metadata"].get("name", "")
        if attempt.old is not None and _same_rights(attempt.old, attempt.obj):
            return
        if await self._may(user, "escalate", resource.plural, attempt.namespace, name):
            return
        if attempt.obj.get("aggregationRule"):
            # It may come to hold anything.
            await self._confirm(
                attempt, user, [Rule(frozenset({"*"}), frozenset({"*"}), frozenset({"*"})), Rule(frozenset({"*"}), paths=frozenset({"*"}))]
            )
            return
        await self._confirm(attempt, user, compile_rules(attempt.obj.get("rules")))

    async def _binding(self, attempt: Attempt, user: User) -> None:
        reference = attempt.obj.get("roleRef") or {}
        if attempt.old is not None and (attempt.old.get("subjects"), attempt.old.get("roleRef")) == (
            attempt.obj.get("subjects"),
            reference,
        ):
            return
        kind = _ROLE_KINDS[reference["kind"]]
        namespace = attempt.namespace if reference["kind"] == "Role" else ""
        if await self._may(user, "bind", kind.resource.plural, attempt.namespace, reference["name"]):
            return
        role, _ = await attempt.store.get(kind, namespace, reference["name"])
        await self._confirm(attempt, user, compile_rules(role.get("rules")))

    async def _confirm(self, attempt: Attempt, user: User, asked: list[Rule] | tuple[Rule, ...]) -> None:
        held = await self._authorizer.rbac.rules(user, attempt.namespace)
        missing = uncovered(held, asked)
        if missing:
            listed = "\n".join(sorted(str(rule) for rule in missing))
            groups = quoted(user.groups)
            raise attempt.forbidden(
                f'user "{user.name}" (groups={groups}) is attempting to grant RBAC permissions not currently held:\n{listed}'
            )


def _same_rights(old: Json, new: Json) -> bool:
    return (old.get("rules") or [], old.get("aggregationRule")) == (new.get("rules") or [], new.get("aggregationRule"))
