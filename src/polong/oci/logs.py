"""The CRI log format: `<RFC 3339 with nanoseconds> <stdout|stderr> <P|F> <content>` a line; P is a part whose line goes on.

conmon writes the prefix and cuts at newlines, so whatever a container prints stays content: a line of it can never be a record of
its own, nor change the stream or the time of one. Source: KEP design of the kubelet's CRI logging.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LINE_LIMIT = 256 * 1024
_LINE = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([PF](?::[^ ]*)?) ?")


@dataclass(frozen=True)
class Record:
    """One line of a container's output. `time` is the text of its first part; `content` is without the newline that ended it; there was
    none where `partial`. A line longer than LINE_LIMIT bytes comes in pieces, all but the last one partial."""

    time: str
    stream: str
    content: bytes
    partial: bool = False


def parse_line(line: bytes) -> Record | None:
    """One line of the file, without its newline; None where it is no record (the damaged end of a crash)."""
    match = _LINE.match(line)
    if match is None:
        return None
    return Record(match[1].decode("ascii"), match[2].decode("ascii"), line[match.end() :], partial=match[3].startswith(b"P"))


def join(records: Iterable[Record]) -> Iterator[Record]:
    """Put parts together into lines, per stream. Memory is bounded by LINE_LIMIT a stream; what is left at the end comes as partial."""
    open_parts: dict[str, Record] = {}
    for record in records:
        begun = open_parts.pop(record.stream, None)
        whole = record if begun is None else Record(begun.time, record.stream, begun.content + record.content, record.partial)
        if whole.partial and len(whole.content) < LINE_LIMIT:
            open_parts[record.stream] = whole
        else:
            yield whole
    yield from open_parts.values()


def parse(data: bytes) -> Iterator[Record]:
    """All complete lines of a piece of a log file."""
    for line in data.split(b"\n")[:-1]:
        record = parse_line(line)
        if record is not None:
            yield record
