"""An answer that comes in pieces over a connection: what its readers share, with an event loop and without one."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any, Self

from polong.kit import errors

Json = dict[str, Any]

MAX_BODY = 512 * 1024 * 1024
"""Bytes of an answer that is taken whole."""


class WireAnswer:
    """`transport.Answer` over its `chunks`, which whoever reads the connection gives, as `aclose` and `events`."""

    def chunks(self) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def json(self) -> Json:
        data = await self.data()
        try:
            decoded = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise errors.Internal(f"cannot read the server's answer as JSON: {error}") from error
        if not isinstance(decoded, dict):
            raise errors.Internal("cannot read the server's answer: it is no JSON object")
        return decoded

    async def data(self) -> bytes:
        pieces, size = [], 0
        async for piece in self.chunks():
            size += len(piece)
            if size > MAX_BODY:
                raise errors.TooLarge(f"the server's answer is larger than {MAX_BODY >> 20} MiB")
            pieces.append(piece)
        return b"".join(pieces)
