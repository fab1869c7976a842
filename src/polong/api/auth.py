"""Who asks: client certificates and bearer tokens to users, and users who act as somebody else. What they may: `polong.api.authorization`.

Source: apiserver pkg/authentication/request (x509, bearertoken), pkg/endpoints/filters/impersonation.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from polong.api.authorization.authorizer import Authorizer, refusal
from polong.api.authorization.rbac import ACCOUNT_PREFIX
from polong.api.authorization.rules import Attributes
from polong.api.service import User
from polong.api.serviceaccounttokens import Accounts
from polong.kit.errors import BadRequest, Unauthorized

ANONYMOUS = "system:anonymous"
_AUTHENTICATED, _UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
_PREFIX = "impersonate-"
_EXTRA = "impersonate-extra-"
_EXTRAS_GROUP = "authentication.k8s.io"


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
    return User(name, (*groups, _AUTHENTICATED)) if name else None


class Authentication:
    def __init__(self, accounts: Accounts, authorizer: Authorizer) -> None:
        self._accounts = accounts
        self._authorizer = authorizer

    async def user(self, authorization: str) -> User | None:
        """Who asks, by the header of that name; None for nobody. Unauthorized where a token is no good."""
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        try:
            user, _ = await self._accounts.user(token.strip())
        except Unauthorized:
            # Why a token is refused is nobody's business but its owner's.
            raise Unauthorized("Unauthorized") from None
        return user

    async def actor(self, user: User | None, headers: Sequence[tuple[str, str]]) -> User | None:
        """As whom `user` acts, by the Impersonate- headers (lower-case names) of a request: himself where there are none. Forbidden
        where he may not be whom he wants to be."""
        if not any(name.startswith(_PREFIX) for name, _ in headers):
            return user
        if user is None:
            raise Unauthorized("Unauthorized")
        name = next((value for key, value in headers if key == "impersonate-user"), "")
        if not name:
            raise BadRequest("requested impersonation of groups, a UID or extras without impersonating a user")
        groups = [value for key, value in headers if key == "impersonate-group"]
        uid = next((value for key, value in headers if key == "impersonate-uid"), "")
        extra: dict[str, list[str]] = {}
        for key, value in headers:
            if key.startswith(_EXTRA):
                extra.setdefault(unquote(key.removeprefix(_EXTRA)).lower(), []).append(value)
        for wanted in _asked(name, groups, uid, extra):
            if not (await self._authorizer.decide(user, wanted)).allowed:
                raise refusal(user, wanted)
        return User(name, _groups_of(name, groups), uid, tuple((key, tuple(values)) for key, values in sorted(extra.items())))


def _account(name: str) -> tuple[str, str] | None:
    """(namespace, name) of a ServiceAccount's user name."""
    namespace, colon, account = name.removeprefix(ACCOUNT_PREFIX).partition(":")
    return (namespace, account) if name.startswith(ACCOUNT_PREFIX) and colon and namespace and account else None


def _asked(name: str, groups: Sequence[str], uid: str, extra: Mapping[str, Sequence[str]]) -> list[Attributes]:
    account = _account(name)
    if account is not None:
        wanted = [Attributes("impersonate", "", "serviceaccounts", "", *account)]
    else:
        wanted = [Attributes("impersonate", "", "users", name=name)]
    wanted += [Attributes("impersonate", "", "groups", name=group) for group in groups]
    if uid:
        wanted.append(Attributes("impersonate", _EXTRAS_GROUP, "uids", name=uid))
    for key, values in extra.items():
        wanted += [Attributes("impersonate", _EXTRAS_GROUP, "userextras", key, name=value) for value in values]
    return wanted


def _groups_of(name: str, groups: Sequence[str]) -> tuple[str, ...]:
    account = _account(name)
    found = list(groups)
    if account is not None and not found:
        found = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
    status = _UNAUTHENTICATED if name == ANONYMOUS else _AUTHENTICATED
    return tuple(found if status in found else [*found, status])
