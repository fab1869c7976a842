"""Small durable JSON records: written beside and renamed, checked when read; a damaged one is set aside, never fatal."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_VERSION = 1
_PARTIAL = ".partial"
_log = logging.getLogger(__name__)


def write(path: Path, value: Json) -> None:
    """Durable on return."""
    body = json.dumps(value, sort_keys=True)
    text = json.dumps({"version": _VERSION, "sha256": hashlib.sha256(body.encode()).hexdigest(), "value": value}, sort_keys=True, indent=1)
    # Of its own: two pulls that share a layer write its record at the same time.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PARTIAL}")
    number = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(number, "w") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def clear_unfinished(directory: Path) -> None:
    """What an earlier run was writing when it ended."""
    for partial in directory.glob(f".*{_PARTIAL}"):
        partial.unlink(missing_ok=True)


def read(path: Path) -> Json | None:
    """None where there is none, or a damaged one (which is renamed to NAME.damaged, and logged)."""
    try:
        document = json.loads(path.read_bytes())
        value = document["value"]
        if document["version"] != _VERSION or document["sha256"] != hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest():
            raise ValueError("checksum or version does not match")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("record %s is damaged and set aside: %s", path, error)
        path.rename(path.with_name(f"{path.name}.damaged"))
        return None
    return value if isinstance(value, dict) else None
