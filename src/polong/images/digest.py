"""Digests of content: `sha256:` and 64 lower-case hex digits, nothing else. Only a validated digest ever becomes part of a path or URL."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_SHA256 = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, order=True)
class Digest:
    """A SHA-256, as hex."""

    hex: str

    @classmethod
    def parse(cls, text: object) -> Digest:
        """ValueError for every other algorithm, case or length."""
        match = _SHA256.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"not a sha256 digest: {str(text)[:80]!r}")
        return cls(match[1])

    @classmethod
    def of(cls, content: bytes) -> Digest:
        return cls(hashlib.sha256(content).hexdigest())

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


def chain(diff_ids: list[Digest]) -> list[Digest]:
    """The ChainID of each layer of a stack, lowest first (OCI image specification, "Layer ChainID")."""
    chained: list[Digest] = []
    for diff_id in diff_ids:
        chained.append(Digest.of(f"{chained[-1]} {diff_id}".encode()) if chained else diff_id)
    return chained
