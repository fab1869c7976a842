"""SPDY/3.1: two sessions talk; hostile bytes cost nothing."""

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polong.remotecommand import spdy, spdy_headers
from polong.remotecommand.spdy import DataReceived, Reply, Reset, Session, SpdyError, StreamOpened, StreamReplied, StreamReset


def control(kind: int, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload


def opened(client: Session, server: Session, **headers: str) -> int:
    stream, data = client.open(headers)
    assert server.receive(data) == [StreamOpened(stream, headers, finished=False)]
    assert client.receive(server.reply(stream)) == [StreamReplied(stream, {})]
    return stream


@pytest.fixture
def client() -> Session:
    return Session(server=False)


@pytest.fixture
def server() -> Session:
    return Session(server=True)


def test_dictionary_is_the_specification_s():
    assert len(spdy_headers.DICTIONARY) == 1423
    assert zlib.adler32(spdy_headers.DICTIONARY) == 0xE3C6A7C2


def test_a_conversation(client: Session, server: Session):
    first = opened(client, server, streamtype="error", port="80", requestid="0")
    second = opened(client, server, streamtype="data", port="80", requestid="0")
    assert (first, second) == (1, 3)
    assert server.receive(client.data(second, b"hello")) == [DataReceived(3, b"hello", finished=False)]
    assert server.receive(client.data(second, b"", finished=True)) == [DataReceived(3, b"", finished=True)]
    assert client.data(second, b"more") == b""
    assert client.receive(server.data(second, b"bye", finished=True)) == [DataReceived(3, b"bye", finished=True)]
    assert server.sendable(second) == -1
    assert client.receive(server.reset(first)) == [StreamReset(1, Reset.CANCEL)]
    assert server.reset(first) == b""


def test_pings_of_the_peer_are_answered_and_answers_are_not(client: Session, server: Session):
    ping = client.ping(7)
    assert server.receive(ping) == [Reply(ping)]
    assert client.receive(ping) == []


def test_going_away(client: Session, server: Session):
    opened(client, server)
    assert client.receive(server.go_away()) == [spdy.WentAway()]
    with pytest.raises(SpdyError):
        client.open({})


@given(st.lists(st.binary(max_size=5000), max_size=6), st.lists(st.integers(1, 40), min_size=1))
@settings(max_examples=50, deadline=None)
def test_any_cut_of_the_bytes_gives_the_same(pieces: list[bytes], cuts: list[int]):
    client, server = Session(server=False), Session(server=True)
    stream, wire = client.open({"streamType": "stdin"})
    for piece in pieces:
        wire += client.data(stream, piece)
    wire += client.data(stream, b"", finished=True) + client.ping(1)
    events, at, turn = [], 0, 0
    while at < len(wire):
        size = cuts[turn % len(cuts)]
        events += server.receive(wire[at : at + size])
        at, turn = at + size, turn + 1
    assert events[0] == StreamOpened(1, {"streamtype": "stdin"}, finished=False)
    data = [event for event in events if isinstance(event, DataReceived)]
    assert b"".join(event.data for event in data) == b"".join(pieces)
    assert [event.finished for event in data].count(True) == 1
    assert data[-1].finished
    assert isinstance(events[-1], Reply)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z-]{0,20}", fullmatch=True), st.text(max_size=100), max_size=20))
def test_headers_survive(headers: dict[str, str]):
    sender, receiver = spdy_headers.Headers(), spdy_headers.Headers()
    for _ in range(2):
        assert receiver.unpack(sender.pack(headers)) == {name: value.encode().decode("utf-8", "replace") for name, value in headers.items()}


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_any_bytes_are_events_or_an_error(data: bytes):
    session = Session(server=True)
    try:
        session.receive(data)
        session.receive(data)
    except SpdyError:
        return


@given(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 9, 77]), st.binary(max_size=60), st.integers(0, 255))
@settings(deadline=None)
def test_any_control_frame_is_events_or_an_error(kind: int, payload: bytes, flags: int):
    session = Session(server=True)
    try:
        session.receive(control(kind, payload, flags))
    except SpdyError:
        return


def bomb(block: bytes) -> bytes:
    deflate = zlib.compressobj(9, zdict=spdy_headers.DICTIONARY)
    return deflate.compress(block) + deflate.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (4, struct.pack(">I", 2**32 - 1)),
        (4, struct.pack(">I", 10_000) + b"\0" * 80_000),
        (4, struct.pack(">III", 1, 7, 2**31)),
        (1, struct.pack(">IIH", 1, 0, 0) + bomb(b"\0" * 40_000_000)),
        (1, struct.pack(">IIH", 1, 0, 0) + bomb(struct.pack(">I", 2**31))),
        (1, struct.pack(">IIH", 1, 0, 0) + bomb(struct.pack(">II", 1, 2**31) + b"a")),
        (1, struct.pack(">IIH", 1, 0, 0) + bomb(struct.pack(">II", 2, 1) + b"a" + struct.pack(">I", 0) * 3)),
        (1, struct.pack(">IIH", 1, 0, 0) + b"not zlib"),
        (1, b"\0"),
        (3, b"\0"),
        (6, b""),
    ],
)
def test_lies_about_lengths_end_the_connection(server: Session, kind: int, payload: bytes):
    with pytest.raises(SpdyError):
        server.receive(control(kind, payload))


def test_a_control_frame_is_refused_before_it_is_gathered(server: Session):
    with pytest.raises(SpdyError, match="more than"):
        server.receive(struct.pack(">HHI", 0x8003, 1, 0xFFFFFF))


def test_another_version_is_refused(server: Session):
    with pytest.raises(SpdyError, match="version 2"):
        server.receive(struct.pack(">HHI", 0x8002, 6, 4) + b"\0\0\0\1")


def test_streams_are_bounded(client: Session):
    server = Session(server=True, max_streams=3)
    events = [server.receive(client.open({})[1])[0] for _ in range(5)]
    assert [type(event) for event in events] == [StreamOpened] * 3 + [Reply] * 2
    assert client.receive(events[3].data) == [StreamReset(7, Reset.REFUSED_STREAM)]
    server.reset(1)
    assert isinstance(server.receive(client.open({"still": "read"})[1])[0], StreamOpened)


def test_wrong_stream_numbers_are_reset(server: Session):
    even = struct.pack(">IIH", 2, 0, 0)
    client = Session(server=False)
    block = client.open({})[1][18:]
    (reply,) = server.receive(control(1, even + block))
    assert reply == Reply(control(3, struct.pack(">II", 2, Reset.PROTOCOL_ERROR)))


def test_data_on_unknown_streams_goes_nowhere(server: Session):
    assert server.receive(struct.pack(">II", 99, 5) + b"hello") == []


def test_windows_bind_once_the_peer_keeps_them(client: Session, server: Session):
    stream = opened(client, server)
    assert server.sendable(stream) == spdy.MAX_WINDOW
    server.data(stream, b"x" * 10_000)
    (event,) = server.receive(control(9, struct.pack(">II", stream, 1)))
    assert event == spdy.WindowOpened(stream)
    assert server.sendable(stream) == spdy.INITIAL_WINDOW + 1
    server.data(stream, b"x" * (spdy.INITIAL_WINDOW + 1))
    assert server.sendable(stream) == 0
    server.receive(control(4, struct.pack(">III", 1, 7, spdy.INITIAL_WINDOW + 500)))
    assert server.sendable(stream) == 500


def test_a_window_cannot_overflow(client: Session, server: Session):
    stream = opened(client, server)
    events = server.receive(control(9, struct.pack(">II", stream, 2**31 - 1)) * 2)
    assert events[-1] == StreamReset(stream, Reset.FLOW_CONTROL_ERROR)


def test_what_was_consumed_is_given_back(client: Session, server: Session):
    stream = opened(client, server)
    assert server.consumed(stream, 100) == b""
    assert server.consumed(stream, 40_000) == control(9, struct.pack(">II", stream, 40_100))
    assert server.consumed(stream, 100) == b""
