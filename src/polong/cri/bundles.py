"""config.json of a sandbox or container, in a directory of the service's own."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from polong.cri.ports import Json

_NAME = "config.json"
_MOST_BYTES = 16 << 20


def write(directory: Path, config: Json) -> None:
    """Make the bundle. `directory` may exist."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(directory / _NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(config))


def read(directory: Path) -> Json | None:
    """None where there is none, or none that can be read."""
    try:
        data = (directory / _NAME).read_bytes()[:_MOST_BYTES]
        config = msgspec.json.decode(data)
    except (OSError, msgspec.MsgspecError):
        return None
    return config if isinstance(config, dict) else None
