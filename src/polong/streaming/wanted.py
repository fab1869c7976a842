"""What a client asks of an exec or attach: PodExecOptions and PodAttachOptions without container and command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from polong.kit import errors


@dataclass(frozen=True)
class Wanted:
    """Streams of the session. With a terminal there is no stderr: it arrives as stdout."""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Wanted:
        """`stdin=true&stdout=1&tty=...`: what Go's ParseBool takes. BadRequest where nothing is asked for."""
        wanted = cls(*(_flag(query, name) for name in ("stdin", "stdout", "stderr", "tty")))
        if not (wanted.stdin or wanted.stdout or wanted.stderr):
            raise errors.BadRequest("you must specify at least one of stdin, stdout, stderr")
        return cls(wanted.stdin, wanted.stdout, wanted.stderr and not wanted.tty, wanted.tty)


def _flag(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "")
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("", "0", "f", "F", "false", "FALSE", "False"):
        return False
    raise errors.BadRequest(f"cannot read {name}={text!r}: it must be true or false")
