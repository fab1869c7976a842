from __future__ import annotations

import struct

import pytest

from polong.nri import frames
from polong.nri.frames import Decoder, Frame, FrameError
from polong.nri.messages import message, parse


@pytest.mark.parametrize("size", [0, 1, 4086, 4087, 100_000])
def test_frames_survive_every_way_of_being_cut(size: int) -> None:
    frame = Frame(frames.PLUGIN, 3, frames.REQUEST, bytes(size))
    data = frames.encode(frame)
    for step in (1, 7, 4096) if size < 5000 else (4099, len(data)):
        decoder, found = Decoder(), []
        for start in range(0, len(data), step):
            found += decoder.feed(data[start : start + step])
        assert found == [frame]


def test_no_piece_is_longer_than_plugins_read_at_once() -> None:
    data, at = frames.encode(Frame(frames.RUNTIME, 1, frames.RESPONSE, bytes(20_000))), 0
    while at < len(data):
        _, length = struct.unpack_from(">II", data, at)
        assert length <= 4096
        at += 8 + length


@pytest.mark.parametrize(
    "data", [struct.pack(">II", 1, 1 << 31), struct.pack(">II", 9, 1), struct.pack(">IIIIBB", 1, 10, 1 << 30, 1, 1, 0)]
)
def test_what_is_out_of_bounds_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        Decoder().feed(data)
    with pytest.raises(FrameError):
        frames.encode(Frame(1, 1, 1, bytes((4 << 20) + 1)))


def test_messages_have_the_fields_of_the_specification() -> None:
    assert message("ConfigureResponse", events=3).SerializeToString() == b"\x10\x03"
    pod = message("PodSandbox", id="a", labels={"k": "v"}, ips=["1"])
    assert parse("PodSandbox", pod.SerializeToString()).labels == {"k": "v"}
    asked = parse("CreateContainerResponse", b"\x0a\x02\x0a\x00")
    assert asked.adjust.ByteSize() == 2
    with pytest.raises(ValueError, match="not a PodSandbox"):
        parse("PodSandbox", b"\xff\xff")
