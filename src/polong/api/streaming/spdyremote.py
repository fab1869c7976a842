"""exec and attach over SPDY: one stream each for error, stdin, stdout, stderr and resize, named by the header streamType."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from polong.api.streaming.session import Wire
from polong.api.streaming.spdy import CREATION_SECONDS, Link, Stream
from polong.api.streaming.wanted import Wanted
from polong.kit.stdio import Stdio, TerminalSize
from polong.remotecommand import channels

Json = dict[str, Any]

# A client reads the last of the streams, then closes; one that does not is closed upon.
GOODBYE_SECONDS = 5.0
_MAX_RESIZE = 4096


class SpdyRemote:
    """Streams may come in any order; reading or writing one waits until it is there."""

    def __init__(self, link: Link, wanted: Wanted, version: str) -> None:
        self._link = link
        self._status = version.startswith("v4")
        names = {"error": True, "stdin": wanted.stdin, "stdout": wanted.stdout, "stderr": wanted.stderr}
        loop = asyncio.get_running_loop()
        self._awaited: dict[str, asyncio.Future[Stream]] = {name: loop.create_future() for name, want in names.items() if want}
        if wanted.tty:
            self._awaited["resize"] = loop.create_future()
        self._gone = asyncio.Event()
        self.stdio = Stdio(
            stdin=_Late(self._awaited["stdin"]) if wanted.stdin else None,
            stdout=_Late(self._awaited["stdout"]) if wanted.stdout else None,
            stderr=_Late(self._awaited["stderr"]) if "stderr" in self._awaited else None,
            resize=_sizes(self._awaited["resize"]) if wanted.tty else None,
            tty=wanted.tty,
        )

    async def read(self) -> None:
        try:
            await self._link.serve(self._opened)
        finally:
            self._gone.set()

    async def _opened(self, stream: Stream) -> None:
        awaited = self._awaited.get(stream.headers.get("streamtype", ""))
        if awaited is None or awaited.done():
            await stream.reset()
        else:
            awaited.set_result(stream)

    async def finish(self, status: Json) -> None:
        """Outputs first, then the error stream; then the client's goodbye."""
        text = json.dumps(status).encode() if self._status else b"" if status["status"] == "Success" else str(status["message"]).encode()
        try:
            async with asyncio.timeout(CREATION_SECONDS):
                # A command may end before the client has opened all: it waits for the end of each.
                for name in ("stdout", "stderr", "error"):
                    if (awaited := self._awaited.get(name)) is None:
                        continue
                    stream = await awaited
                    if name == "error" and text:
                        await stream.write(text)
                    await stream.close()
        except (TimeoutError, BrokenPipeError):
            return
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            return

    async def hang_up(self) -> None:
        self._link.hang_up()
        for awaited in self._awaited.values():
            awaited.cancel()


class _Late:
    """A stream that may not have been opened yet: Reader and Writer."""

    def __init__(self, stream: asyncio.Future[Stream]) -> None:
        self._stream = stream

    async def _get(self) -> Stream | None:
        try:
            async with asyncio.timeout(CREATION_SECONDS):
                await asyncio.wait({self._stream})
        except TimeoutError:
            return None
        return None if self._stream.cancelled() else self._stream.result()

    async def read(self) -> bytes:
        stream = await self._get()
        return b"" if stream is None else await stream.read()

    async def write(self, data: bytes) -> None:
        stream = await self._get()
        if stream is None:
            raise BrokenPipeError("the client did not open the stream")
        await stream.write(data)

    async def close(self) -> None:
        stream = await self._get()
        if stream is not None:
            await stream.close()


async def _sizes(awaited: asyncio.Future[Stream]) -> AsyncIterator[TerminalSize]:
    """The resize stream: JSON objects one after the other."""
    stream = _Late(awaited)
    buffer = b""
    decoder = json.JSONDecoder()
    while data := await stream.read():
        buffer = (buffer + data)[-_MAX_RESIZE:]
        while text := buffer.decode("utf-8", "replace").lstrip():
            try:
                _, end = decoder.raw_decode(text)
            except ValueError:
                break
            one, buffer = text[:end].encode(), text[end:].encode()
            try:
                width, height = channels.decode_resize(one)
            except channels.ChannelError:
                continue
            yield TerminalSize(width, height)


_wire: type[Wire] = SpdyRemote
