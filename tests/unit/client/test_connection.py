"""The end of a connection whose server does not answer the closing of TLS."""

from __future__ import annotations

import asyncio
from typing import Any

from polong.client.connection import Connection


class _Writer:
    """As asyncio's: everybody who waits for the end awaits one future, which only `abort` ends here."""

    def __init__(self) -> None:
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport = self

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """The other side says nothing."""

    def abort(self) -> None:
        if not self._closed.done():
            self._closed.set_result(None)

    async def wait_closed(self) -> None:
        await self._closed


async def test_a_silent_server_is_left_after_a_second() -> None:
    writer: Any = _Writer()
    connection = Connection(asyncio.StreamReader(), writer)
    async with asyncio.timeout(5):
        await connection.aclose()
