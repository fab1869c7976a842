"""Stop signals: CRI's enumeration, or an image's STOPSIGNAL, to a number. Pure."""

from __future__ import annotations

import re
import signal

from polong.criapi.wire import v1
from polong.kit.errors import Invalid

_REALTIME = re.compile(r"SIGRT(MIN|MAX)(?:(PLUS|MINUS|\+|-)([0-9]{1,2}))?", re.ASCII)
_HIGHEST = 64


def stop_signal(asked: v1.Signal.ValueType, image: str) -> int:
    """What the Pod asks for, else what the image says, else SIGTERM."""
    if asked != v1.RUNTIME_DEFAULT:
        return parse(v1.Signal.Name(asked))
    return parse(image) if image else signal.SIGTERM


def parse(text: str) -> int:
    """`SIGUSR1`, `USR1`, `10`, `SIGRTMIN+3`, `SIGRTMINPLUS3`; Invalid for anything else."""
    if text.isascii() and text.isdigit() and len(text) <= 2:
        number = int(text)
    else:
        name = text.upper()
        number = _by_name(name if name.startswith("SIG") else f"SIG{name}")
    if not 1 <= number <= _HIGHEST:
        raise Invalid(f"unknown signal {text[:32]!r}", reason="CreateContainerError")
    return number


def _by_name(name: str) -> int:
    if (match := _REALTIME.fullmatch(name)) is not None:
        base = signal.SIGRTMIN if match[1] == "MIN" else signal.SIGRTMAX
        step = int(match[3] or 0)
        return int(base + step if match[2] in ("PLUS", "+") else base - step)
    found = getattr(signal.Signals, name, None)
    return int(found) if isinstance(found, signal.Signals) else 0
