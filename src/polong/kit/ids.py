"""Identifiers: UIDs, container ids, name suffixes."""

from __future__ import annotations

import secrets
import uuid

# Kubernetes' alphabet for generated names: no vowels and no look-alikes, so that no words appear.
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_FAIR = 256 - 256 % len(_SAFE)


def uid() -> str:
    """A metadata.uid."""
    return str(uuid.uuid4())


def container_id() -> str:
    """64 hex digits, as every CRI runtime names sandboxes and containers."""
    return secrets.token_hex(32)


def name_suffix(length: int = 5) -> str:
    """The random tail of generateName."""
    # One byte of chance for each letter, less what would make some letters likelier.
    letters = ""
    while len(letters) < length:
        letters += "".join(_SAFE[byte % len(_SAFE)] for byte in secrets.token_bytes(2 * length) if byte < _FAIR)
    return letters[:length]
