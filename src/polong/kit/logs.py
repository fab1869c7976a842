"""Logging of the daemon: one line an entry, level, logger and message; never bodies, headers or environments."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send `polong.*` to `stream` (standard error by default). Idempotent."""
    root = logging.getLogger("polong")
    root.handlers.clear()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(name)s %(message)s"))
    root.addHandler(handler)
    root.setLevel(level)
    root.propagate = False
