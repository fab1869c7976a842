"""PodLogOptions, as the log subresource takes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class PodLogOptions:
    """core/v1 PodLogOptions; `since` joins sinceSeconds and sinceTime as one moment."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: datetime | None = None
    tail_lines: int | None = None
    limit_bytes: int | None = None
