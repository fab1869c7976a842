"""RFC 6455, the client's side: what to send, and what the received bytes mean. No extensions."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

MAX_MESSAGE = 16 * 1024 * 1024


class WebSocketError(Exception):
    """The server broke RFC 6455; `code` is what the close frame should say."""

    def __init__(self, message: str, code: int = 1002) -> None:
        super().__init__(message)
        self.code = code


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True)
class Message:
    """A whole message. For CLOSE, `data` is code and reason as they came."""

    opcode: Opcode
    data: bytes

    @property
    def close_code(self) -> int:
        """1005 where the close frame says nothing."""
        return int.from_bytes(self.data[:2], "big") if len(self.data) >= 2 else 1005

    @property
    def close_reason(self) -> str:
        return self.data[2:].decode("utf-8", "replace")


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(16)).decode()


def request_headers(key: str, subprotocols: Sequence[str]) -> dict[str, str]:
    headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": key}
    if subprotocols:
        headers["sec-websocket-protocol"] = ", ".join(subprotocols)
    return headers


def accepted(key: str, headers: Mapping[str, str], subprotocols: Sequence[str]) -> str:
    """The subprotocol of a 101 answer; WebSocketError where the answer does not fit the request."""
    expected = base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()
    if headers.get("upgrade", "").lower() != "websocket" or headers.get("sec-websocket-accept") != expected:
        raise WebSocketError("the server's handshake is not WebSocket's")
    chosen = headers.get("sec-websocket-protocol", "")
    if chosen and chosen not in subprotocols:
        raise WebSocketError(f"the server chose subprotocol {chosen!r}, which was not offered")
    return chosen


def encode(opcode: Opcode, data: bytes) -> bytes:
    """One masked frame, whole."""
    size = len(data)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    mask = secrets.token_bytes(4)
    return head + mask + apply_mask(data, mask)


def encode_close(code: int = 1000) -> bytes:
    return encode(Opcode.CLOSE, code.to_bytes(2, "big"))


def apply_mask(data: bytes, mask: bytes) -> bytes:
    """XOR with the mask, as one big number: some hundred times as fast as byte by byte."""
    size = len(data)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


class Decoder:
    """Feed with what the server sends; yields whole messages. Fragments are joined, control frames may come between."""

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._max = max_message
        self._buffer = bytearray()
        self._opcode: Opcode | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Message]:
        self._buffer += data
        messages = []
        while (message := self._frame()) is not None:
            if isinstance(message, Message):
                messages.append(message)
        return messages

    def _frame(self) -> Message | bool | None:
        """The next frame: a message where it completes one, True where not, None where bytes lack."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        final, size, at = bool(buffer[0] & 0x80), buffer[1] & 0x7F, 2
        opcode = self._check(buffer[0], buffer[1], size)
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(buffer) < at + width:
                return None
            size, at = int.from_bytes(buffer[at : at + width], "big"), at + width
        if self._size + size > self._max:
            raise WebSocketError(f"message is larger than {self._max} bytes", 1009)
        if len(buffer) < at + size:
            return None
        data = bytes(buffer[at : at + size])
        del buffer[: at + size]
        if opcode >= Opcode.CLOSE:
            return Message(opcode, data)
        return self._assemble(opcode, data, final)

    def _check(self, first: int, second: int, size: int) -> Opcode:
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError:
            raise WebSocketError(f"unknown opcode {first & 0x0F}") from None
        if first & 0x70:
            raise WebSocketError("reserved bits are set")
        if second & 0x80:
            raise WebSocketError("a server's frame is masked")
        if opcode >= Opcode.CLOSE and (size > 125 or not first & 0x80):
            raise WebSocketError("control frame is too long or in pieces")
        if (opcode is Opcode.CONTINUATION) == (self._opcode is None) and opcode < Opcode.CLOSE:
            raise WebSocketError("fragments out of order")
        return opcode

    def _assemble(self, opcode: Opcode, data: bytes, final: bool) -> Message | bool:
        if opcode is not Opcode.CONTINUATION:
            self._opcode = opcode
        self._parts.append(data)
        self._size += len(data)
        if not final or self._opcode is None:
            return True
        message = Message(self._opcode, b"".join(self._parts))
        self._opcode, self._parts, self._size = None, [], 0
        return message
