"""SPDY/3.1 as kubectl speaks it (moby/spdystream): frames, header blocks, streams, windows. Both sides; bytes in, events out.

Everything that a peer says about lengths and counts is checked against the frame and a fixed cap; header blocks inflate to a cap; data
is handed on as it arrives, never gathered. spdystream itself knows no windows: it ignores WINDOW_UPDATE and sends none. So windows
bind our sending only once the peer has shown that it keeps them; updates for what we received are sent to every peer.

https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from polong.remotecommand.spdy_headers import HeaderError, Headers

MAX_STREAMS = 256
# A control frame is gathered whole before it is read.
MAX_CONTROL = 64 * 1024
MAX_SETTINGS = 64
INITIAL_WINDOW = 64 * 1024
MAX_WINDOW = 2**31 - 1
# The largest payload of a data frame that we send.
MAX_DATA = 32 * 1024

_FIN, _UNIDIRECTIONAL = 1, 2
_SETTING_INITIAL_WINDOW = 7


class FrameType(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class Reset(IntEnum):
    """Status of RST_STREAM."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    UNSUPPORTED_VERSION = 4
    CANCEL = 5
    INTERNAL_ERROR = 6
    FLOW_CONTROL_ERROR = 7


class SpdyError(Exception):
    """The peer broke the protocol so that the connection cannot go on."""


@dataclass(frozen=True)
class StreamOpened:
    """The peer opened a stream. `headers` have lower-case names. `finished`: it will send nothing."""

    stream: int
    headers: Mapping[str, str]
    finished: bool


@dataclass(frozen=True)
class StreamReplied:
    stream: int
    headers: Mapping[str, str]


@dataclass(frozen=True)
class DataReceived:
    """A piece of a stream, perhaps less than a frame. `finished`: the last of the peer's half."""

    stream: int
    data: bytes
    finished: bool


@dataclass(frozen=True)
class StreamReset:
    stream: int
    status: int


@dataclass(frozen=True)
class WindowOpened:
    """More may be sent on `stream` (0: on all)."""

    stream: int


@dataclass(frozen=True)
class WentAway:
    """The peer will open no more streams."""


@dataclass(frozen=True)
class Reply:
    """Bytes that the protocol wants sent: an answer to a ping, the refusal of a stream."""

    data: bytes


Event = StreamOpened | StreamReplied | DataReceived | StreamReset | WindowOpened | WentAway | Reply


@dataclass
class _Stream:
    window: int
    local_done: bool = False
    remote_done: bool = False
    consumed: int = 0


class Session:
    """One connection. What a method returns is to be sent, in that order: header blocks share a compressor."""

    def __init__(self, *, server: bool, max_streams: int = MAX_STREAMS) -> None:
        self._server = server
        self._max_streams = max_streams
        self._headers = Headers()
        self._streams: dict[int, _Stream] = {}
        self._next_local = 2 if server else 1
        self._last_remote = 0
        self._initial_window = INITIAL_WINDOW
        self._windows = False
        self._gone = False
        self._buffer = bytearray()
        self._data: tuple[int, int, bool] | None = None

    # --- what we send ---------------------------------------------------------------------------------------------------------

    def open(self, headers: Mapping[str, str], *, finished: bool = False) -> tuple[int, bytes]:
        """A new stream: (id, SYN_STREAM)."""
        if self._gone:
            raise SpdyError("the peer went away")
        stream, self._next_local = self._next_local, self._next_local + 2
        self._streams[stream] = _Stream(self._initial_window, local_done=finished)
        payload = struct.pack(">IIH", stream, 0, 0) + self._headers.pack(headers)
        return stream, _control(FrameType.SYN_STREAM, _FIN if finished else 0, payload)

    def reply(self, stream: int, headers: Mapping[str, str] | None = None) -> bytes:
        """Accept a stream that the peer opened."""
        return _control(FrameType.SYN_REPLY, 0, struct.pack(">I", stream) + self._headers.pack(headers or {}))

    def sendable(self, stream: int) -> int:
        """How many bytes may go out on `stream` now; 0 where the window is shut; -1 where the stream is over."""
        state = self._streams.get(stream)
        if state is None or state.local_done:
            return -1
        return max(0, state.window) if self._windows else MAX_WINDOW

    def data(self, stream: int, data: bytes, *, finished: bool = False) -> bytes:
        """One data frame of at most MAX_DATA bytes, within `sendable`; b"" where the stream is over."""
        state = self._streams.get(stream)
        if state is None or state.local_done:
            return b""
        if self._windows:
            state.window -= len(data)
        if finished:
            state.local_done = True
            self._sweep(stream, state)
        return struct.pack(">II", stream, (_FIN if finished else 0) << 24 | len(data)) + data

    def reset(self, stream: int, status: Reset = Reset.CANCEL) -> bytes:
        """End both halves; b"" where the stream is over."""
        if self._streams.pop(stream, None) is None:
            return b""
        return _reset(stream, status)

    def consumed(self, stream: int, size: int) -> bytes:
        """`size` bytes of the stream were taken by whom they are for: a WINDOW_UPDATE where enough have gathered."""
        state = self._streams.get(stream)
        if state is None or state.remote_done:
            return b""
        state.consumed += size
        if state.consumed < INITIAL_WINDOW // 2:
            return b""
        delta, state.consumed = state.consumed, 0
        return _control(FrameType.WINDOW_UPDATE, 0, struct.pack(">II", stream, delta))

    def ping(self, number: int) -> bytes:
        return _control(FrameType.PING, 0, struct.pack(">I", number * 2 if self._server else number * 2 + 1))

    def go_away(self) -> bytes:
        return _control(FrameType.GOAWAY, 0, struct.pack(">II", self._last_remote, 0))

    # --- what we receive ------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """What the bytes mean. SpdyError where the connection cannot go on."""
        self._buffer += data
        events: list[Event] = []
        while self._step(events):
            pass
        return events

    def _step(self, events: list[Event]) -> bool:
        """Read one frame, or a piece of a data frame; False where bytes lack."""
        if self._data is not None:
            return self._piece(events, *self._data)
        if len(self._buffer) < 8:
            return False
        first, second = struct.unpack_from(">II", self._buffer)
        flags, length = second >> 24, second & 0xFFFFFF
        if not first & 0x80000000:
            del self._buffer[:8]
            self._data = (first, length, bool(flags & _FIN))
            return True
        if (first >> 16) & 0x7FFF != 3:
            raise SpdyError(f"frame of SPDY version {(first >> 16) & 0x7FFF}, not 3")
        if length > MAX_CONTROL:
            raise SpdyError(f"control frame of {length} bytes, more than {MAX_CONTROL}")
        if len(self._buffer) < 8 + length:
            return False
        payload = bytes(self._buffer[8 : 8 + length])
        del self._buffer[: 8 + length]
        self._control(first & 0xFFFF, flags, payload, events)
        return True

    def _piece(self, events: list[Event], stream: int, left: int, fin: bool) -> bool:
        piece = bytes(self._buffer[:left])
        if left and not piece:
            return False
        del self._buffer[: len(piece)]
        left -= len(piece)
        self._data = (stream, left, fin) if left else None
        finished = fin and not left
        state = self._streams.get(stream)
        if state is None or state.remote_done:  # crossed with our reset, or after its own end
            return True
        if finished:
            state.remote_done = True
            self._sweep(stream, state)
        if piece or finished:
            events.append(DataReceived(stream, piece, finished))
        return True

    def _control(self, kind: int, flags: int, payload: bytes, events: list[Event]) -> None:
        try:
            if kind == FrameType.SYN_STREAM:
                self._on_syn_stream(flags, payload, events)
            elif kind in (FrameType.SYN_REPLY, FrameType.HEADERS):
                self._on_headers(kind, flags, payload, events)
            elif kind == FrameType.RST_STREAM:
                stream, status = struct.unpack(">II", payload)
                if self._streams.pop(stream & MAX_WINDOW, None) is not None:
                    events.append(StreamReset(stream & MAX_WINDOW, status))
            elif kind == FrameType.SETTINGS:
                self._on_settings(payload, events)
            elif kind == FrameType.PING:
                (number,) = struct.unpack(">I", payload)
                if bool(number & 1) == self._server:  # the client's are odd
                    events.append(Reply(_control(FrameType.PING, 0, payload)))
            elif kind == FrameType.GOAWAY:
                self._gone = True
                events.append(WentAway())
            elif kind == FrameType.WINDOW_UPDATE:
                self._on_window_update(payload, events)
        except struct.error as error:
            raise SpdyError(f"frame of type {kind} has a wrong length") from error
        except (HeaderError, zlib.error) as error:
            raise SpdyError(f"cannot read the headers of a frame: {error}") from error

    def _on_syn_stream(self, flags: int, payload: bytes, events: list[Event]) -> None:
        stream, _, _ = struct.unpack_from(">IIH", payload)
        stream &= MAX_WINDOW
        # Read even what is refused: later blocks build on the decompressor's state.
        headers = self._headers.unpack(payload[10:])
        if bool(stream & 1) != self._server or stream <= self._last_remote:
            events.append(Reply(_reset(stream, Reset.PROTOCOL_ERROR)))
            return
        self._last_remote = stream
        if len(self._streams) >= self._max_streams or self._gone:
            events.append(Reply(_reset(stream, Reset.REFUSED_STREAM)))
            return
        finished = bool(flags & _FIN)
        self._streams[stream] = _Stream(self._initial_window, local_done=bool(flags & _UNIDIRECTIONAL), remote_done=finished)
        events.append(StreamOpened(stream, headers, finished))

    def _on_headers(self, kind: int, flags: int, payload: bytes, events: list[Event]) -> None:
        (stream,) = struct.unpack_from(">I", payload)
        stream &= MAX_WINDOW
        headers = self._headers.unpack(payload[4:])
        state = self._streams.get(stream)
        if state is None:
            return
        if kind == FrameType.SYN_REPLY:
            events.append(StreamReplied(stream, headers))
        if flags & _FIN and not state.remote_done:
            state.remote_done = True
            self._sweep(stream, state)
            events.append(DataReceived(stream, b"", finished=True))

    def _on_settings(self, payload: bytes, events: list[Event]) -> None:
        (count,) = struct.unpack_from(">I", payload)
        if count > MAX_SETTINGS or len(payload) != 4 + 8 * count:
            raise SpdyError(f"SETTINGS tells of {count} entries in {len(payload)} bytes")
        for name, value in struct.iter_unpack(">II", payload[4:]):
            if name & 0xFFFFFF != _SETTING_INITIAL_WINDOW:
                continue
            if value > MAX_WINDOW:
                raise SpdyError("SETTINGS tells of a window beyond 2^31-1")
            for state in self._streams.values():
                state.window += value - self._initial_window
            self._initial_window, self._windows = value, True
            events.append(WindowOpened(0))

    def _on_window_update(self, payload: bytes, events: list[Event]) -> None:
        stream, delta = struct.unpack(">II", payload)
        stream, delta = stream & MAX_WINDOW, delta & MAX_WINDOW
        self._windows = True
        state = self._streams.get(stream)
        if state is None:
            return
        state.window += delta
        if state.window > MAX_WINDOW:
            del self._streams[stream]
            events += [Reply(_reset(stream, Reset.FLOW_CONTROL_ERROR)), StreamReset(stream, Reset.FLOW_CONTROL_ERROR)]
            return
        events.append(WindowOpened(stream))

    def _sweep(self, stream: int, state: _Stream) -> None:
        if state.local_done and state.remote_done:
            self._streams.pop(stream, None)


def _control(kind: FrameType, flags: int, payload: bytes) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload


def _reset(stream: int, status: Reset) -> bytes:
    return _control(FrameType.RST_STREAM, 0, struct.pack(">II", stream, status))
