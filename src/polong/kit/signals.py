"""Signals by name and number. Pure. Source: signal(7)."""

from __future__ import annotations

import re
import signal

_REALTIME = re.compile(r"SIGRT(MIN|MAX)(?:(PLUS|MINUS|\+|-)([0-9]{1,2}))?", re.ASCII)
_HIGHEST = 64


def parse(text: str) -> int:
    """`SIGUSR1`, `usr1`, `10`, `SIGRTMIN+3`, `SIGRTMINPLUS3`; ValueError for anything else, 0 included."""
    if text.isascii() and text.isdigit() and len(text) <= 2:
        number = int(text)
    else:
        upper = text.upper()
        number = _by_name(upper if upper.startswith("SIG") else f"SIG{upper}")
    if not 1 <= number <= _HIGHEST:
        raise ValueError(f"unknown signal {text[:32]!r}")
    return number


def _by_name(full: str) -> int:
    if (match := _REALTIME.fullmatch(full)) is not None:
        base = signal.SIGRTMIN if match[1] == "MIN" else signal.SIGRTMAX
        step = int(match[3] or 0)
        return int(base + step if match[2] in ("PLUS", "+") else base - step)
    found = getattr(signal.Signals, full, None)
    return int(found) if isinstance(found, signal.Signals) else 0


def cri_name(text: str) -> str:
    """As CRI's enumeration spells it: `SIGRTMIN+3` is SIGRTMINPLUS3."""
    return text.replace("+", "PLUS").replace("-", "MINUS")


def pod_name(text: str) -> str:
    """And back, as a Pod spells it."""
    return text.replace("PLUS", "+").replace("MINUS", "-")


def name(number: int) -> str:
    """`SIGHUP`; `SIGRTMIN+3` for what has no name of its own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def names() -> list[str]:
    """Those that have names, as people type them: HUP, INT, ..."""
    return [each.name.removeprefix("SIG") for each in signal.Signals]
