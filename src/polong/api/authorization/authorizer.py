"""One answer to one question: may this user do that? Nodes by their own rules, everybody by RBAC, system:masters everything; whoever is
nobody may ask for version and health. Refusals read as Kubernetes' do (apiserver pkg/endpoints/handlers/responsewriters/errors.go)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polong.api import nodeauthorizer
from polong.api.authorization.rbac import Rbac
from polong.api.authorization.rules import Attributes
from polong.api.paths import Target
from polong.api.service import MASTERS, User
from polong.kit.errors import Forbidden, Unauthorized

PUBLIC_PATHS = frozenset({"/version", "/healthz", "/livez", "/readyz"})
_PUBLIC_PREFIXES = ("/healthz/", "/livez/", "/readyz/")


@dataclass(frozen=True)
class Decision:
    allowed: bool
    reason: str = ""


class Authorizer:
    def __init__(self, rbac: Rbac, node_name: str) -> None:
        self.rbac = rbac
        self._node_name = node_name

    async def check(self, user: User | None, verb: str, path: str, target: Target | None, query: Sequence[tuple[str, str]] = ()) -> None:
        """Nothing, Unauthorized or Forbidden. `verb` is RBAC's; `target` is None for a path of no resource."""
        if target is None and is_public(path):
            return
        if user is None:
            raise Unauthorized("Unauthorized")
        if MASTERS in user.groups:
            return
        why = ""
        if nodeauthorizer.is_node(user) and target is not None:
            why = nodeauthorizer.refusal(user, verb, target, query, self._node_name)
            if not why:
                return
        wanted = attributes(verb, path, target)
        allowed, reason = await self.rbac.allows(user, wanted)
        if not allowed:
            raise refusal(user, wanted, why or reason)

    async def decide(self, user: User, wanted: Attributes) -> Decision:
        """As `check`, for those who ask on behalf of somebody."""
        if MASTERS in user.groups:
            return Decision(True)
        if wanted.path and is_public(wanted.path):
            return Decision(True)
        if nodeauthorizer.is_node(user) and not wanted.path:
            target = Target(wanted.group, "*", wanted.resource, wanted.namespace, wanted.name, wanted.subresource)
            if not nodeauthorizer.refusal(user, wanted.verb, target, (), self._node_name):
                return Decision(True)
        return Decision(*await self.rbac.allows(user, wanted))


def is_public(path: str) -> bool:
    return path in PUBLIC_PATHS or path.startswith(_PUBLIC_PREFIXES)


def attributes(verb: str, path: str, target: Target | None) -> Attributes:
    if target is None:
        return Attributes(verb, path=path)
    # A namespace's own name is its namespace, as Kubernetes reads the path.
    namespace = target.name if target.resource == "namespaces" and not target.group else target.namespace
    return Attributes(verb, target.group, target.resource, target.subresource, namespace, target.name)


def refusal(user: User, wanted: Attributes, why: str = "") -> Forbidden:
    """403 in Kubernetes' words."""
    if wanted.path:
        return Forbidden(f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"' + (f": {why}" if why else ""))
    where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    resource = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    subject = f'{resource} "{wanted.name}"' if wanted.name else resource
    action = f'User "{user.name}" cannot {wanted.verb} resource "{wanted.combined}" in API group "{wanted.group}" {where}'
    text = f"{subject} is forbidden: {action}"
    details = {"name": wanted.name, "group": wanted.group, "kind": wanted.resource}
    return Forbidden(f"{text}: {why}" if why else text, details={name: value for name, value in details.items() if value})
