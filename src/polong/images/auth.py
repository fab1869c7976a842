"""Credentials of a registry: bound to one origin (scheme, host, port), exchanged for tokens where the registry asks for that.

Distribution "Token Authentication Specification". A token is kept for its repository scope; an Authorization header goes to the origin
that the credentials are for and to no other.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

from yarl import URL

from polong.images.hosts import Hosts, is_forbidden
from polong.images.model import RegistryAuth
from polong.kit.errors import BadRequest, Unauthorized

_PARAMETER = re.compile(r'([A-Za-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', re.ASCII)
TOKEN_LIMIT = 64 << 10


@dataclass(frozen=True)
class Challenge:
    """WWW-Authenticate: `scheme` in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenge(header: str) -> Challenge:
    """The first challenge of a header; an unknown one gives an empty scheme."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() not in {"basic", "bearer"} or len(header) > 4096:
        return Challenge("", {})
    parameters = {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in _PARAMETER.findall(rest)}
    return Challenge(scheme.lower(), parameters)


def basic(auth: RegistryAuth | None) -> str:
    """The value of a Basic Authorization header, or "" where there is no password."""
    if auth is None:
        return ""
    user, password = auth.username, auth.password
    if not user and auth.auth:
        try:
            user, _, password = base64.b64decode(auth.auth, validate=True).decode().rstrip("\0").partition(":")
        except ValueError:
            raise BadRequest("image pull credentials: auth is not base64", reason="ErrImagePull") from None
    if not user:
        return ""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def token_url(challenge: Challenge, repository: str, hosts: Hosts) -> URL:
    """Where to fetch the token. Unauthorized for a realm that no honest registry names."""
    realm = challenge.parameters.get("realm", "")
    url = URL(realm)
    if url.scheme != "https" and not (url.scheme == "http" and hosts.allows_plain(url)):
        raise Unauthorized(f"registry names the token server {realm[:200]!r}, which is not reached by https", reason="ErrImagePull")
    if not url.host or url.user or is_forbidden(url.host):
        raise Unauthorized(f"registry names the token server {realm[:200]!r}, which is refused", reason="ErrImagePull")
    query = {"scope": f"repository:{repository}:pull"}
    if service := challenge.parameters.get("service"):
        query["service"] = service
    return url.update_query(query)


def refresh_form(url: URL, credentials: RegistryAuth) -> dict[str, str]:
    """What is posted to a token server for an identity token (distribution "OAuth2 Token Authentication"): `url` is that of `token_url`."""
    wanted = {"grant_type": "refresh_token", "client_id": "polong", "refresh_token": credentials.identity_token}
    return {**wanted, **{name: url.query[name] for name in ("service", "scope") if name in url.query}}
