from __future__ import annotations

import io
import tarfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fixtures import oci

from polong.kit.errors import Invalid, PolongError, TooLarge, Unsupported
from polong.kit.tarstream import REGULAR, Entry, TarParser


def parse(data: bytes, step: int = 1 << 20) -> list[tuple[Entry, bytes]]:
    parser = TarParser(entries=100)
    found: list[tuple[Entry, bytes]] = []
    for start in range(0, len(data), step):
        for event in parser.feed(data[start : start + step]):
            if isinstance(event, Entry):
                found.append((event, b""))
            else:
                entry, content = found.pop()
                found.append((entry, content + event))
    parser.finish()
    return found


def written(format_: int, name: str, content: bytes, uid: int = 0) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as tar:
        info = tarfile.TarInfo(name)
        info.size, info.uid, info.mtime = len(content), uid, 1.5  # type: ignore[assignment]
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("step", [1, 7, 511, 512, 1 << 20])
@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["a", "d/" * 40 + "f", "é" * 40])
def test_what_others_write_is_read(format_: int, name: str, step: int) -> None:
    if format_ == tarfile.USTAR_FORMAT and not name.isascii():
        pytest.skip("ustar has no encoding")
    [(entry, content)] = parse(written(format_, name, b"hello" * 200, uid=5), step)
    assert (entry.name.decode(), entry.kind, entry.uid, content) == (name, REGULAR, 5, b"hello" * 200)


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_large_numbers(format_: int) -> None:
    [(entry, _)] = parse(written(format_, "a" * 300, b"x", uid=3_000_000_000))
    assert (len(entry.name), entry.uid) == (300, 3_000_000_000)


def test_extended_attributes_and_times() -> None:
    data = (
        oci.pax({b"SCHILY.xattr.security.capability": b"\1\0\0\2", b"mtime": b"12.5", b"path": b"other"})
        + oci.file(b"name")
        + oci.file(b"b")
    )
    [(first, _), (second, _)] = parse(data + oci.END)
    assert (first.name, first.mtime, first.xattrs) == (b"other", 12_500_000_000, {"security.capability": b"\1\0\0\2"})
    assert (second.name, second.xattrs) == (b"b", {})


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        (oci.header(b"a", checksum=1), Invalid, "checksum"),
        (b"garbage" * 100, Invalid, "damaged"),
        (oci.file(b"a", b"x" * 600)[:700], Invalid, "cut off"),
        (oci.header(b"a", size_field=b"\xff" * 12), Invalid, "out of range"),
        (oci.header(b"a", size_field=b"-0000000001\0"), Invalid, "octal"),
        (oci.header(b"a", size_field=b"\x80" + b"\xff" * 11), Invalid, "out of range"),
        (oci.header(b"a", b"S"), Unsupported, "sparse"),
        (oci.pax({b"GNU.sparse.map": b"0,1"}) + oci.file(b"a"), Unsupported, "sparse"),
        (oci.header(b"a", b"Z"), Unsupported, "unknown type"),
        (oci.header(b"x", b"x", 1 << 40), TooLarge, "extended header"),
        (oci.header(b"x", b"L", 1 << 20), TooLarge, "extended header"),
        (oci.header(b"x", b"x", 5) + oci.padded(b"9 a=b"), Invalid, "PAX"),
        (oci.header(b"x", b"x", 5) + oci.padded(b"0 a=b"), Invalid, "PAX"),
        (oci.header(b"x", b"x", 5) + oci.padded(b"-1 ab"), Invalid, "PAX"),
        (oci.pax({b"size": b"-1"}) + oci.file(b"a"), Invalid, "PAX"),
        (oci.pax({b"size": b"9" * 30}) + oci.file(b"a"), Invalid, "PAX"),
        (oci.pax({b"path": b"a\0b"}) + oci.file(b"a"), Invalid, "NUL"),
        (oci.pax({b"path": b"a/" * 3000}) + oci.file(b"a"), Invalid, "too long"),
        (oci.pax({b"mtime": b"1e9"}) + oci.file(b"a"), Invalid, "PAX"),
        (oci.file(b"a") * 101, TooLarge, "more than 100 entries"),
    ],
)
def test_bad_archives(data: bytes, error: type[PolongError], match: str) -> None:
    with pytest.raises(error, match=match):
        parse(data)


def test_a_link_with_a_size_has_no_content() -> None:
    assert [entry.name for entry, _ in parse(oci.header(b"l", b"2", 512, link=b"t") + oci.file(b"b") + oci.END)] == [b"l", b"b"]


@given(st.binary(max_size=3000), st.integers(0, 2000))
def test_no_input_breaks_the_parser(noise: bytes, position: int) -> None:
    good = oci.pax({b"path": b"p"}) + oci.file(b"a", b"x" * 700) + oci.END
    for data in (noise, good[:position] + noise + good[position:]):
        with suppress(PolongError):
            parse(data, 700)
