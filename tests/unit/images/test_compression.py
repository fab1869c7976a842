from __future__ import annotations

import gzip
import os

import pytest
from backports import zstd

from polong.images import compression
from polong.kit.errors import Invalid, TooLarge

PACK = {"": lambda data: data, "gzip": gzip.compress, "zstd": zstd.compress}


def unpack(kind: str, data: bytes, step: int = 1000) -> bytes:
    stream = compression.decompressor(kind)
    found = b"".join(piece for start in range(0, len(data), step) for piece in stream.feed(data[start : start + step]))
    stream.finish()
    return found


@pytest.mark.parametrize("kind", ["", "gzip", "zstd"])
@pytest.mark.parametrize("content", [b"x", b"hello" * 100_000, os.urandom(100_000)])
def test_round_trip_in_pieces_and_in_several_members(kind: str, content: bytes) -> None:
    assert unpack(kind, PACK[kind](content)) == content
    assert unpack(kind, PACK[kind](content) * 2) == content * 2
    assert compression.sniff(PACK["gzip"](content)) == "gzip"
    assert compression.sniff(PACK["zstd"](content)) == "zstd"


def test_padding_after_gzip_is_ignored() -> None:
    assert unpack("gzip", gzip.compress(b"x") + b"\0" * 700) == b"x"


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_damage_is_an_error(kind: str) -> None:
    good = PACK[kind](os.urandom(5000))
    with pytest.raises(Invalid, match="cut off"):
        unpack(kind, good[:-9])
    with pytest.raises(Invalid, match="cut off"):
        unpack(kind, b"")
    with pytest.raises(Invalid, match="damaged"):
        unpack(kind, b"not compressed at all" * 9)
    if kind == "gzip":
        with pytest.raises(Invalid, match="damaged"):
            unpack(kind, good[:-8] + b"\1\2\3\4" + good[-4:])


def test_a_huge_window_is_refused() -> None:
    data = zstd.compress(b"x" * 100, options={zstd.CompressionParameter.window_log: 30, zstd.CompressionParameter.content_size_flag: 0})
    stream = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 30, zstd.CompressionParameter.content_size_flag: 0})
    data = stream.compress(b"x" * 100, mode=zstd.ZstdCompressor.FLUSH_BLOCK) + stream.flush()
    with pytest.raises(Invalid, match="memory"):
        unpack("zstd", data)


def test_ratio_and_limit() -> None:
    ratio = compression.Ratio(10_000, start=100, ratio=10)
    ratio.taken = 50
    ratio.count(450)
    with pytest.raises(TooLarge, match="bomb"):
        ratio.count(100)
    with pytest.raises(TooLarge, match="more than 0 MiB"):
        ratio.count(20_000)
