"""Who asks, and whether they may: client certificates to users, users and requests to yes or no.

system:masters may do all, the node what `nodeauthorizer` says, everybody may ask for version and health, nobody else anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polong.api import nodeauthorizer
from polong.api.paths import Target
from polong.api.service import MASTERS, User
from polong.kit.errors import Forbidden, Unauthorized

PUBLIC_PATHS = frozenset({"/version", "/healthz", "/livez", "/readyz"})
_PUBLIC_PREFIXES = ("/healthz/", "/livez/", "/readyz/")


@dataclass(frozen=True)
class Asked:
    """What a request wants: RBAC's verb, the path, the resource (None for a path of none), the query; and of which node this API is."""

    verb: str
    path: str
    target: Target | None
    query: Sequence[tuple[str, str]] = ()
    node_name: str = ""


def user_of_certificate(certificate: Mapping[str, Any] | None) -> User | None:
    """CN is the name, each O a group, of a certificate that TLS has verified (`SSLObject.getpeercert()`). None for none or no CN."""
    name = ""
    groups = []
    for relative_name in (certificate or {}).get("subject", ()):
        for key, value in relative_name:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    return User(name, (*groups, "system:authenticated")) if name else None


def authorize(user: User | None, asked: Asked) -> None:
    """Nothing, Unauthorized or Forbidden, in Kubernetes' words."""
    target = asked.target
    if target is None and (asked.path in PUBLIC_PATHS or asked.path.startswith(_PUBLIC_PREFIXES)):
        return
    if user is None:
        raise Unauthorized("Unauthorized")
    if MASTERS in user.groups:
        return
    why = ""
    if nodeauthorizer.is_node(user) and target is not None:
        why = nodeauthorizer.refusal(user, asked.verb, target, asked.query, asked.node_name)
        if not why:
            return
    raise forbidden(user, asked, why)


def forbidden(user: User, asked: Asked, why: str = "") -> Forbidden:
    """The refusal, in Kubernetes' words; `why` is added."""
    target = asked.target
    if target is None:
        return Forbidden(f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"')
    resource = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    subject = f'{target.resource} "{target.name}"' if target.name else target.resource
    text = f'{subject} is forbidden: User "{user.name}" cannot {asked.verb} resource "{resource}" in API group "{target.group}" {where}'
    return Forbidden(
        f"{text}: {why}" if why else text,
        details={"name": target.name, "kind": target.resource} if target.name else {"kind": target.resource},
    )
