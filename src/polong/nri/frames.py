"""The two framings of NRI: ttrpc messages inside of multiplexed pieces. Bytes in, frames out; no I/O.

A piece: connection and length, 4 bytes each. A ttrpc message: length and stream, 4 bytes each, type and flags, 1 byte each. Big-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

REQUEST, RESPONSE = 1, 2
PLUGIN, RUNTIME = 1, 2
"""Multiplexed connections: the plugin's service, which the runtime calls; the runtime's, which the plugin calls."""

_PIECE = struct.Struct(">II")
_HEADER = struct.Struct(">IIBB")
_LONGEST_MESSAGE = 4 << 20
# Plugins of Go read a piece into a buffer of this size, and give up where it does not fit.
_SENT = 4096
_LONGEST_PIECE = _LONGEST_MESSAGE + _HEADER.size


class FrameError(Exception):
    """The other side broke the protocol."""


@dataclass(frozen=True)
class Frame:
    """One ttrpc message on one multiplexed connection."""

    connection: int
    stream: int
    type: int
    payload: bytes


class Decoder:
    """Memory is bounded by one piece and one message a connection."""

    def __init__(self) -> None:
        self._trunk = bytearray()
        self._streams = {PLUGIN: bytearray(), RUNTIME: bytearray()}

    def feed(self, data: bytes) -> list[Frame]:
        """What is complete by now. FrameError."""
        self._trunk += data
        found: list[Frame] = []
        while len(self._trunk) >= _PIECE.size:
            connection, length = _PIECE.unpack_from(self._trunk)
            if length > _LONGEST_PIECE or connection not in self._streams:
                raise FrameError(f"a piece of {length} bytes on connection {connection}")
            if len(self._trunk) < _PIECE.size + length:
                break
            stream = self._streams[connection]
            stream += self._trunk[_PIECE.size : _PIECE.size + length]
            del self._trunk[: _PIECE.size + length]
            found += self._messages(connection, stream)
        return found

    @staticmethod
    def _messages(connection: int, stream: bytearray) -> list[Frame]:
        found = []
        while len(stream) >= _HEADER.size:
            length, number, kind, _ = _HEADER.unpack_from(stream)
            if length > _LONGEST_MESSAGE:
                raise FrameError(f"a message of {length} bytes")
            if len(stream) < _HEADER.size + length:
                break
            found.append(Frame(connection, number, kind, bytes(stream[_HEADER.size : _HEADER.size + length])))
            del stream[: _HEADER.size + length]
        return found


def encode(frame: Frame) -> bytes:
    """FrameError where the message is longer than ttrpc allows."""
    if len(frame.payload) > _LONGEST_MESSAGE:
        raise FrameError(f"a message of {len(frame.payload)} bytes")
    body = _HEADER.pack(len(frame.payload), frame.stream, frame.type, 0) + frame.payload
    pieces = (body[start : start + _SENT] for start in range(0, len(body), _SENT))
    return b"".join(_PIECE.pack(frame.connection, len(piece)) + piece for piece in pieces)
