"""What pods/files may be asked. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polong.kit.errors import BadRequest

OPERATIONS = ("stat", "list", "read", "archive")
STREAMED = frozenset({"read", "archive"})
"""Whose answers are bytes."""

WRITE, EXTRACT = WRITES = ("write", "extract")
_MOST_PATH = 4095
_MOST_NUMBER = 1 << 62
_NUMBERS = ("offset", "limit", "tail")
_NAMES = {"container", "path", "pathBase64", "op", "follow", *_NUMBERS}


@dataclass(frozen=True)
class FileOptions:
    """`op` is one of OPERATIONS; `archive` is a directory as tar. Of a read: bytes from `offset`, at most `limit`; or the last `tail`
    lines; and what is added later."""

    path: str
    op: str = "stat"
    offset: int = 0
    limit: int | None = None
    tail: int | None = None
    follow: bool = False

    def task(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


def path_of(query: Mapping[str, str]) -> str:
    """BadRequest for a path that is missing, relative or too long."""
    path = query.get("path", "")
    if "pathBase64" in query:
        path = _decoded(query["pathBase64"])
    if not path.startswith("/"):
        raise BadRequest("the query parameter path must be an absolute path" if path else "the query parameter path is missing")
    if len(path.encode("utf-8", "surrogateescape")) > _MOST_PATH or "\0" in path:
        raise BadRequest(f"path {path[:60]!r}... is too long, or holds a NUL: at most {_MOST_PATH} bytes")
    return path


def _decoded(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text).decode("utf-8", "surrogateescape")
    except ValueError:
        raise BadRequest("the query parameter pathBase64 is no base64 of bytes") from None


def encoded(path: str) -> tuple[str, str]:
    """The query parameter for a path: a name in Linux is bytes, and need be no text."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "pathBase64", base64.urlsafe_b64encode(path.encode("utf-8", "surrogateescape")).decode("ascii")
    return "path", path


def parse(query: Mapping[str, str]) -> FileOptions:
    """Of a query. BadRequest."""
    for name in query:
        if name not in _NAMES:
            raise BadRequest(f"unknown query parameter {name[:40]!r}: there are {', '.join(sorted(_NAMES))}")
    op = query.get("op", "stat")
    if op not in OPERATIONS:
        raise BadRequest(f"op {op[:40]!r} is not one of {', '.join(OPERATIONS)}")
    numbers = {name: _number(name, query[name]) for name in _NUMBERS if query.get(name)}
    if "tail" in numbers and ("offset" in numbers or "limit" in numbers):
        raise BadRequest("tail goes neither with offset nor with limit")
    return FileOptions(path_of(query), op, follow=query.get("follow", "").lower() in ("1", "t", "true"), **numbers)


def write_of(query: Mapping[str, str]) -> str:
    """WRITE: the body is one file; EXTRACT: it is a tar archive of what shall lie in the directory. BadRequest."""
    op = query.get("op") or WRITE
    if op not in WRITES:
        raise BadRequest(f"op {op[:40]!r} is not one of {', '.join(WRITES)}")
    if op == EXTRACT and ("mode" in query or "expected" in query):
        raise BadRequest("mode and expected are of single files: op=extract takes neither")
    return op


def mode_of(query: Mapping[str, str]) -> int:
    """Permission bits of a new file, octal; 0644 where none are given. BadRequest."""
    text = query.get("mode") or "0644"
    if len(text) > 5 or any(digit not in "01234567" for digit in text) or int(text, 8) > 0o777:
        raise BadRequest(f"mode {text[:20]!r} is not permission bits such as 0644")
    return int(text, 8)


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > _MOST_NUMBER:
        raise BadRequest(f"{name} {text[:20]!r} must be a whole number, not negative")
    return int(text)
