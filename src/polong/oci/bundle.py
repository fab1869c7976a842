"""A bundle on disk: a directory with config.json, whole or absent (OCI runtime-spec, bundle.md)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from polong.kit.errors import FailedPrecondition

Json = dict[str, Any]
_LIMIT = 8 << 20


def write(directory: Path, config: Json) -> Path:
    """Create or replace `directory` (mode 0700) with that config.json; its path. OSError, and nothing new, where it cannot be."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    temporary = directory / "config.json.new"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            # dumps, not dump: only the former is encoded in C (0.3 ms against 3).
            file.write(json.dumps(config, ensure_ascii=True, separators=(",", ":")))
            file.flush()
            os.fchmod(file.fileno(), 0o600)
        temporary.replace(directory / "config.json")
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return directory


def read(directory: Path) -> Json:
    """Its config.json; FailedPrecondition where it is missing or damaged."""
    file = directory / "config.json"
    try:
        if file.stat().st_size > _LIMIT:
            raise ValueError("it is too large")
        document = json.loads(file.read_bytes())
        if not isinstance(document, dict) or not isinstance(document.get("process"), dict):
            raise ValueError("it is no runtime configuration")
    except (OSError, ValueError) as error:
        raise FailedPrecondition(f"bundle {directory} has no usable config.json: {error}") from error
    return document


def remove(directory: Path) -> None:
    """Delete the directory. Idempotent; links in it are removed, never followed."""
    shutil.rmtree(directory, ignore_errors=True)
