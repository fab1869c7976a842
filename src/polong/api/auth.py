"""Who asks, and whether they may: client certificates to users, users and requests to yes or no."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polong.api.paths import Target
from polong.api.service import MASTERS, User
from polong.kit.errors import Forbidden, Unauthorized

PUBLIC_PATHS = frozenset({"/version", "/healthz", "/livez", "/readyz"})
_PUBLIC_PREFIXES = ("/healthz/", "/livez/", "/readyz/")


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


def authorize(user: User | None, verb: str, path: str, target: Target | None) -> None:
    """Nothing, Unauthorized or Forbidden. system:masters may do all, everybody may ask for version and health, nobody else anything."""
    if target is None and (path in PUBLIC_PATHS or path.startswith(_PUBLIC_PREFIXES)):
        return
    if user is None:
        raise Unauthorized("Unauthorized")
    if MASTERS in user.groups:
        return
    if target is None:
        raise Forbidden(f'forbidden: User "{user.name}" cannot {verb} path "{path}"')
    resource = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    subject = f'{target.resource} "{target.name}"' if target.name else target.resource
    raise Forbidden(
        f'{subject} is forbidden: User "{user.name}" cannot {verb} resource "{resource}" in API group "{target.group}" {where}',
        details={"name": target.name, "kind": target.resource} if target.name else {"kind": target.resource},
    )
