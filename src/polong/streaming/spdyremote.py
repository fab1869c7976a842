"""exec and attach over SPDY: one stream each for error, stdin, stdout, stderr and resize, named by the header streamType."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from polong.kit import errors
from polong.kit.stdio import Stdio, TerminalSize
from polong.remotecommand import channels
from polong.streaming.session import Wire
from polong.streaming.spdy import CREATION_SECONDS, Link, Stream
from polong.streaming.wanted import Wanted

Json = dict[str, Any]

# A client reads the last of the streams, then closes; one that does not is closed upon.
GOODBYE_SECONDS = 5.0
_MAX_RESIZE = 4096


class SpdyRemote:
    """Work begins when all streams are there (`ready`), for spdystream reads none before: what came on the first could fill its queues
    and keep the replies for the rest from being read, until both sides wait for each other."""

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
            stdin=_Opened(self._awaited["stdin"]) if wanted.stdin else None,
            stdout=_Opened(self._awaited["stdout"]) if wanted.stdout else None,
            stderr=_Opened(self._awaited["stderr"]) if "stderr" in self._awaited else None,
            resize=_sizes(self._awaited["resize"]) if wanted.tty else None,
            tty=wanted.tty,
        )

    async def ready(self) -> None:
        """DeadlineExceeded where the client does not open what it asked for, BrokenPipeError where it leaves."""
        there, missing = await asyncio.wait(self._awaited.values(), timeout=CREATION_SECONDS)
        if any(stream.cancelled() for stream in there):
            raise BrokenPipeError("the client left")
        if missing:
            raise errors.DeadlineExceeded(f"the client did not open its streams within {CREATION_SECONDS:g} s")

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
                for name in ("stdout", "stderr", "error"):
                    awaited = self._awaited.get(name)
                    if awaited is None or not awaited.done() or awaited.cancelled():
                        continue
                    if name == "error" and text:
                        await awaited.result().write(text)
                    await awaited.result().close()
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


class _Opened:
    """Reader and Writer on a stream that is there once `ready` has returned."""

    def __init__(self, stream: asyncio.Future[Stream]) -> None:
        self._stream = stream

    async def read(self) -> bytes:
        return b"" if self._stream.cancelled() else await self._stream.result().read()

    async def write(self, data: bytes) -> None:
        if self._stream.cancelled():
            raise BrokenPipeError("the client is gone")
        await self._stream.result().write(data)

    async def close(self) -> None:
        if not self._stream.cancelled():
            await self._stream.result().close()


async def _sizes(awaited: asyncio.Future[Stream]) -> AsyncIterator[TerminalSize]:
    """The resize stream: JSON objects one after the other."""
    stream = _Opened(awaited)
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
