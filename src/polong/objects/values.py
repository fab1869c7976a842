"""Names for JSON in annotations: objects stay plain dicts, so that unknown fields and exact round trips survive."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
"""A JSON object."""

Value = Any
"""Any JSON value: dict, list, str, int, float, bool or None."""
