"""CRI log lines."""

from hypothesis import given
from hypothesis import strategies as st

from polong.oci import logs

STAMP = b"2026-01-02T03:04:05.123456789"


def test_lines():
    record = logs.parse_line(STAMP + b"+00:00 stdout F hello world")
    assert record == logs.Record("2026-01-02T03:04:05.123456789+00:00", "stdout", b"hello world")
    assert logs.parse_line(STAMP + b"Z stderr P part") == logs.Record(STAMP.decode() + "Z", "stderr", b"part", partial=True)
    assert logs.parse_line(STAMP + b"Z stdout F ") == logs.Record(STAMP.decode() + "Z", "stdout", b"")
    assert logs.parse_line(STAMP + b"Z stdout F:tag x") is not None


def test_what_is_no_record():
    for line in (
        b"",
        b"garbage",
        STAMP + b"Z other F x",
        STAMP + b"Z stdout X x",
        b"\0" * 40,
        STAMP + b" stdout F x",
        b" " + STAMP + b"Z stdout F x",
    ):
        assert logs.parse_line(line) is None


def test_parts_are_joined_per_stream():
    lines = [(b"stdout", b"P", b"a"), (b"stderr", b"P", b"x"), (b"stdout", b"F", b"b"), (b"stderr", b"F", b"y"), (b"stdout", b"P", b"cut")]
    data = b"".join(STAMP + b"Z %s %s %s\n" % line for line in lines) + b"incomplete"
    found = [(record.stream, record.content, record.partial) for record in logs.join(logs.parse(data))]
    assert found == [("stdout", b"ab", False), ("stderr", b"xy", False), ("stdout", b"cut", True)]


def test_an_endless_line_is_bounded():
    part = logs.Record("t", "stdout", b"x" * 16384, partial=True)
    pieces = list(logs.join([part] * 100))
    assert max(len(piece.content) for piece in pieces) <= logs.LINE_LIMIT + 16384
    assert sum(len(piece.content) for piece in pieces) == 100 * 16384


@given(st.binary(max_size=200).filter(lambda data: b"\n" not in data))
def test_content_is_always_content(content):
    record = logs.parse_line(STAMP + b"Z stdout F " + content)
    assert record is not None
    assert (record.stream, record.content) == ("stdout", content)
