"""The client's transport: one interface over HTTP/1.1+TLS and over a call in process.

Both answer with the same `Answer`; the contract tests run over both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self

Json = dict[str, Any]


class Call(NamedTuple):
    """A request. `path` starts with /; `body` is a dict (sent as JSON under `content_type`), bytes, or a stream of bytes."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = MappingProxyType({})
    body: Json | bytes | AsyncIterator[bytes] | None = None
    content_type: str = "application/json"


class Answer(Protocol):
    """Status and headers at once, the body when asked for. Must be closed (async context manager)."""

    status: int
    headers: Mapping[str, str]

    async def json(self) -> Json: ...

    async def data(self) -> bytes: ...

    def events(self) -> AsyncIterator[Json]:
        """A watch or any stream of JSON documents."""
        ...

    def chunks(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


class Transport(Protocol):
    async def call(self, call: Call) -> Answer:
        """Any status is an answer; Unavailable (one clear line) where there is no server."""
        ...

    async def aclose(self) -> None: ...
