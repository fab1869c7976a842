"""Stop signals: CRI's enumeration, or an image's STOPSIGNAL, to a number. Pure."""

from __future__ import annotations

import signal

from polong.criapi.wire import v1
from polong.kit import signals
from polong.kit.errors import Invalid


def stop_signal(asked: v1.Signal.ValueType, image: str) -> int:
    """What the Pod asks for, else what the image says, else SIGTERM."""
    if asked != v1.RUNTIME_DEFAULT:
        return parse(v1.Signal.Name(asked))
    return parse(image) if image else signal.SIGTERM


def effective(asked: v1.Signal.ValueType, number: int) -> v1.Signal.ValueType:
    """What is sent, as the enumeration has it: what was asked for, else what came of the image."""
    if asked != v1.RUNTIME_DEFAULT:
        return asked
    try:
        return v1.Signal.Value(signals.cri_name(signals.name(number)))
    except ValueError:
        return v1.RUNTIME_DEFAULT


def parse(text: str) -> int:
    """`SIGUSR1`, `USR1`, `10`, `SIGRTMIN+3`, `SIGRTMINPLUS3`; Invalid for anything else."""
    try:
        return signals.parse(text)
    except ValueError as error:
        raise Invalid(str(error), reason="CreateContainerError") from None
