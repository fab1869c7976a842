"""One connected plugin: calls to it, with a deadline each, and the little that it may call here."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from typing import Any

from polong.kit.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from polong.nri import frames
from polong.nri.frames import Decoder, Frame, FrameError
from polong.nri.messages import message, parse

_log = logging.getLogger(__name__)

_SERVICE = "nri.pkg.api.v1alpha1.Plugin"
_UNIMPLEMENTED = 12
_PIECE = 64 * 1024


class Plugin:
    """`serve` reads until the plugin leaves; calls are answered only while it runs. `name` is `index-name` once it has registered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1, 2)
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._gone = False
        self.registered: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        self.name = "a plugin that has not registered"
        self.events = 0

    def wants(self, event: int) -> bool:
        """`event` is a number of NRI's Event."""
        return bool(self.events >> (event - 1) & 1)

    async def serve(self) -> None:
        decoder = Decoder()
        try:
            while data := await self._reader.read(_PIECE):
                for frame in decoder.feed(data):
                    self._take(frame)
        except (FrameError, ValueError) as error:
            _log.warning("NRI plugin %s broke the protocol: %s", self.name, error)
        except OSError:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Idempotent. Who waits for an answer gets none."""
        self._gone = True
        for waiting in self._answers.values():
            waiting.cancel()
        self.registered.cancel()
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.close()

    async def call(self, method: str, request: Any, response: str, timeout: float) -> Any:  # noqa: ANN401 - messages
        """The answer, a message `response`. FailedPrecondition with the plugin's own words where it refuses, Unavailable where it is gone,
        DeadlineExceeded where it is silent."""
        if self._gone:
            raise Unavailable(f"NRI plugin {self.name} is gone")
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        payload = request.SerializeToString()
        call = message("Request", service=_SERVICE, method=method, payload=payload, timeout_nano=int(timeout * 1e9))
        try:
            async with asyncio.timeout(timeout):
                await self._send(Frame(frames.PLUGIN, number, frames.REQUEST, call.SerializeToString()))
                answered = parse("Response", await answer)
                if answered.status.code:
                    raise FailedPrecondition(f"NRI plugin {self.name} refuses {method}: {answered.status.message[:500]}")
                return parse(response, answered.payload)
        except TimeoutError:
            raise DeadlineExceeded(f"NRI plugin {self.name} did not answer {method} within {timeout:g} s") from None
        except asyncio.CancelledError:
            if self._gone and answer.cancelled():
                raise Unavailable(f"NRI plugin {self.name} is gone") from None
            raise
        except (FrameError, ValueError, OSError) as error:
            raise Unavailable(f"NRI plugin {self.name} cannot be asked: {error}") from error
        finally:
            del self._answers[number]

    async def _send(self, frame: Frame) -> None:
        self._writer.write(frames.encode(frame))
        await self._writer.drain()

    def _take(self, frame: Frame) -> None:
        if frame.connection == frames.PLUGIN and frame.type == frames.RESPONSE:
            waiting = self._answers.get(frame.stream)
            if waiting is not None and not waiting.done():
                waiting.set_result(frame.payload)
        elif frame.connection == frames.RUNTIME and frame.type == frames.REQUEST:
            answer = self._answer(parse("Request", frame.payload))
            self._writer.write(frames.encode(Frame(frames.RUNTIME, frame.stream, frames.RESPONSE, answer.SerializeToString())))

    def _answer(self, request: Any) -> Any:  # noqa: ANN401 - messages
        if request.method != "RegisterPlugin":
            text = f"{request.method[:80]} is not supported: plugins may watch and refuse, not change"
            return message("Response", status=message("RpcStatus", code=_UNIMPLEMENTED, message=text))
        asked = parse("RegisterPluginRequest", request.payload)
        if not self.registered.done():
            self.registered.set_result((asked.plugin_idx, asked.plugin_name))
        return message("Response", payload=b"")
