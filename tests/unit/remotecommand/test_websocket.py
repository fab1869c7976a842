"""RFC 6455, the client's side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polong.remotecommand import websocket
from polong.remotecommand.websocket import Decoder, Message, Opcode, WebSocketError


def server_frame(opcode: int, data: bytes, *, final: bool = True) -> bytes:
    first = bytes([(0x80 if final else 0) | opcode])
    if len(data) < 126:
        return first + bytes([len(data)]) + data
    if len(data) < 65536:
        return first + b"\x7e" + len(data).to_bytes(2, "big") + data
    return first + b"\x7f" + len(data).to_bytes(8, "big") + data


def test_handshake_of_the_rfc():
    headers = {"upgrade": "WebSocket", "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "sec-websocket-protocol": "b"}
    assert websocket.accepted("dGhlIHNhbXBsZSBub25jZQ==", headers, ["a", "b"]) == "b"
    with pytest.raises(WebSocketError):
        websocket.accepted("AAAA", headers, ["b"])
    with pytest.raises(WebSocketError, match="not offered"):
        websocket.accepted("dGhlIHNhbXBsZSBub25jZQ==", headers, ["a"])


@given(st.binary(max_size=300))
def test_mask_is_its_own_inverse(data: bytes):
    masked = websocket.apply_mask(data, b"\x01\x02\x03\x04")
    assert masked == bytes(byte ^ b"\x01\x02\x03\x04"[at % 4] for at, byte in enumerate(data))
    assert websocket.apply_mask(masked, b"\x01\x02\x03\x04") == data


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_frames_say_their_length(size: int):
    frame = websocket.encode(Opcode.BINARY, b"x" * size)
    assert frame[0] == 0x82
    assert frame[1] & 0x80
    assert websocket.apply_mask(frame[-size:], frame[-size - 4 : -size]) == b"x" * size if size else len(frame) == 6


@given(st.lists(st.tuples(st.sampled_from([1, 2, 9, 10]), st.binary(max_size=100)), max_size=10), st.integers(1, 9))
def test_any_cut_gives_the_same(messages: list[tuple[int, bytes]], step: int):
    wire = b"".join(server_frame(opcode, data) for opcode, data in messages)
    decoder, found = Decoder(), []
    for at in range(0, len(wire), step):
        found += decoder.feed(wire[at : at + step])
    assert found == [Message(Opcode(opcode), data) for opcode, data in messages]


def test_fragments_are_joined_around_control_frames():
    wire = server_frame(2, b"a", final=False) + server_frame(9, b"ping") + server_frame(0, b"b", final=False) + server_frame(0, b"c")
    assert Decoder().feed(wire) == [Message(Opcode.PING, b"ping"), Message(Opcode.BINARY, b"abc")]


@pytest.mark.parametrize(
    "wire",
    [
        server_frame(3, b""),
        bytes([0xC2, 0]),
        bytes([0x82, 0x80]),
        server_frame(9, b"x" * 126),
        server_frame(9, b"", final=False),
        server_frame(0, b"x"),
        server_frame(2, b"a", final=False) + server_frame(2, b"b"),
    ],
)
def test_what_the_rfc_forbids(wire: bytes):
    with pytest.raises(WebSocketError):
        Decoder().feed(wire)


def test_messages_are_bounded():
    with pytest.raises(WebSocketError, match="larger") as raised:
        Decoder(max_message=1000).feed(bytes([0x82, 127]) + (2**40).to_bytes(8, "big"))
    assert raised.value.code == 1009
    decoder = Decoder(max_message=10)
    decoder.feed(server_frame(2, b"x" * 8, final=False))
    with pytest.raises(WebSocketError):
        decoder.feed(server_frame(0, b"x" * 8))


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_an_error(data: bytes):
    try:
        Decoder().feed(data)
    except WebSocketError:
        return


def test_close_tells_code_and_reason():
    (message,) = Decoder().feed(server_frame(8, (1000).to_bytes(2, "big") + "sé".encode()))
    assert (message.close_code, message.close_reason) == (1000, "sé")
    assert Message(Opcode.CLOSE, b"").close_code == 1005
