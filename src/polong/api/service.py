"""Request and Response of the API, before any wire: what the HTTP rim and the in-process transport share.

`Service.handle` is the one door. Objects stay Python dicts until the rim encodes them, or bytes that the rim copies; whoever receives
one in process must not change it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class User:
    """Who asks: the common name and organisations of a client certificate, a ServiceAccount, or a component in process. `extra` is what
    the credential says besides: names (lower case) and values."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


MASTERS = "system:masters"
"""The group that may do everything, as in Kubernetes."""


@dataclass(frozen=True)
class Request:
    """`headers` have lower-case names. `body` is bytes from a wire, a dict from in process, a stream (imageimports alone takes one),
    None where there is none. `user` None is an anonymous caller: components in process come with a user of their own."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Json | AsyncIterator[bytes] | None = None
    user: User | None = None
    notes: dict[str, str] = field(default_factory=dict)
    """Annotations for the audit log; whoever handles the request adds them."""
    wire: bool = False
    """The answer will be encoded: what is stored as it is served may be in it as bytes (msgspec.Raw) in place of a dict."""


@dataclass(frozen=True)
class Response:
    """One of: `body` (a dict to encode as JSON, or bytes), `events` (a watch: dicts, one line of JSON each), `chunks` (raw bytes)."""

    status: int
    body: Json | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    events: AsyncIterator[Json] | None = None
    chunks: AsyncIterator[bytes] | None = None
