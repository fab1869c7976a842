from __future__ import annotations

import pytest

from polong.cri import signals
from polong.criapi.wire import v1
from polong.kit.errors import Invalid


@pytest.mark.parametrize(
    ("text", "number"),
    [("SIGTERM", 15), ("term", 15), ("15", 15), ("SIGUSR1", 10), ("SIGRTMIN", 34), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("SIGRTMAX", 64)],
)
def test_known_signals(text: str, number: int) -> None:
    assert signals.parse(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "SIGNOPE", "TERM ", "SIGRTMIN+40", "٣", "SIG_IGN", "SIG_DFL"])
def test_unknown_ones(text: str) -> None:
    with pytest.raises(Invalid, match="unknown signal"):
        signals.parse(text)


def test_the_pod_wins_over_the_image_and_both_over_the_default() -> None:
    assert signals.stop_signal(v1.RUNTIME_DEFAULT, "") == 15
    assert signals.stop_signal(v1.RUNTIME_DEFAULT, "SIGQUIT") == 3
    assert signals.stop_signal(v1.SIGHUP, "SIGQUIT") == 1


def test_every_signal_of_the_enumeration_is_known() -> None:
    for name, number in v1.Signal.items():
        if number != v1.RUNTIME_DEFAULT:
            assert 1 <= signals.stop_signal(number, "") <= 64, name
