"""SignalOptions, as the signal subresource of polong.dev takes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SignalOptions:
    """Which processes of a Pod get the signal `number`: the main process of `container`, or the one of PID `pid` (as inside), or those
    whose command line holds `match` (`*` and `?` stand for anything), or `everyone`; the last three in all containers where none is
    named. /pause only with `allow_pause`."""

    number: int
    container: str = ""
    pid: int = 0
    match: str = ""
    everyone: bool = False
    dry_run: bool = False
    allow_pause: bool = False
