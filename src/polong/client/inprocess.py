"""The transport of a component that lives in the server's process: a call is a call, objects stay dicts, nothing is encoded."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol, Self

import msgspec

from polong.client.transport import Answer, Call, Transport
from polong.kit import errors
from polong.objects.status import failure

Json = dict[str, Any]

_log = logging.getLogger(__name__)


class Reply(Protocol):
    """What a handler returns: one of `body`, `events`, `chunks`. api.service.Response has this shape."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> Json | bytes | None: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def events(self) -> AsyncIterator[Json] | None: ...

    @property
    def chunks(self) -> AsyncIterator[bytes] | None: ...


Handler = Callable[[Call], Awaitable[Reply]]


class InProcessTransport:
    """`handler` serves each call; what it raises becomes the Status answer that it would be over a wire.

    Received objects are shared with the server: whoever wants to change one copies it first.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def call(self, call: Call) -> Answer:
        try:
            reply = await self._handler(call)
        except errors.PolongError as error:
            return _refusal(error)
        except TimeoutError:
            return _refusal(errors.DeadlineExceeded("request did not complete within the allotted timeout"))
        except Exception:
            _log.exception("%s %s failed", call.method, call.path)
            return _refusal(errors.Internal("see the node's log"))
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return InProcessAnswer(reply.status, headers, body=reply.body, events=reply.events, chunks=reply.chunks)

    async def aclose(self) -> None:
        return None


def _refusal(error: errors.PolongError) -> InProcessAnswer:
    status = failure(error)
    return InProcessAnswer(status["code"], {"content-type": "application/json"}, body=status)


class InProcessAnswer:
    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        *,
        body: Json | bytes | None = None,
        events: AsyncIterator[Json] | None = None,
        chunks: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._events = events
        self._chunks = chunks

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def json(self) -> Json:
        if isinstance(self._body, dict):
            return self._body
        try:
            decoded = msgspec.json.decode(await self.data())
        except msgspec.DecodeError as error:
            raise errors.Internal(f"cannot read the answer as JSON: {error}") from error
        if not isinstance(decoded, dict):
            raise errors.Internal("cannot read the answer: it is no JSON object")
        return decoded

    async def data(self) -> bytes:
        if isinstance(self._body, bytes):
            return self._body
        if self._body is not None:
            return msgspec.json.encode(self._body)
        return b"".join([chunk async for chunk in self.chunks()])

    async def events(self) -> AsyncGenerator[Json, None]:
        if self._events is not None:
            async for event in self._events:
                yield event
        elif self._body or self._chunks is not None:
            for line in (await self.data()).splitlines():
                yield msgspec.json.decode(line)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        if self._chunks is not None:
            async for chunk in self._chunks:
                yield chunk
        elif self._events is not None:
            async for event in self._events:
                yield msgspec.json.encode(event) + b"\n"
        elif self._body is not None:
            yield self._body if isinstance(self._body, bytes) else msgspec.json.encode(self._body)

    async def aclose(self) -> None:
        for source in (self._events, self._chunks):
            aclose = getattr(source, "aclose", None)
            if aclose is not None:
                await aclose()


_: type[Transport] = InProcessTransport
