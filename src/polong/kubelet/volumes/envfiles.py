"""Files of environment variables that a container of the Pod wrote into an emptyDir (KEP-3721): `NAME='value'`, a variable each.

What wrote them is hostile: the path stays in its volume whatever links it leads through, and sizes are bounded.
"""

from __future__ import annotations

import re
from pathlib import Path

from polong.kit.errors import Invalid
from polong.linux import paths

MOST_BYTES = 64 << 10
_ENTRY = re.compile(r"[ \t]*([^\s=#'][^\s=']*)='([^']*)'[ \t]*(?:\n|\Z)")
_NOTHING = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")


def read(volume: Path, path: str) -> dict[str, str] | None:
    """By name; None where there is no such file. Invalid for what is none, TooLarge beyond 64 KiB."""
    try:
        with paths.Root.open(volume) as top:
            data = top.read(path, MOST_BYTES, resolve=paths.BENEATH)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}") from error
    try:
        return parse(data.decode())
    except UnicodeDecodeError:
        raise Invalid(f"{path} is not UTF-8") from None
    except ValueError as error:
        raise Invalid(f"{path}: {error}") from None


def parse(text: str) -> dict[str, str]:
    """Blank lines and comments aside, only NAME='value'; a value may hold line breaks. ValueError with the line."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        if (match := _ENTRY.match(text, at)) is not None:
            found[match.group(1)] = match.group(2)
        elif (match := _NOTHING.match(text, at)) is None:
            number = text.count("\n", 0, at) + 1
            raise ValueError(f"line {number} is not of the form NAME='value'")
        if match.end() == at:
            break
        at = match.end()
    return found
