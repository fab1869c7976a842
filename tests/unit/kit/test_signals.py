"""Names and numbers of signals."""

import signal

import pytest

from polong.kit import signals


@pytest.mark.parametrize(
    ("text", "number"),
    [("HUP", 1), ("sighup", 1), ("SIGKILL", 9), ("15", 15), ("SIGRTMIN+3", signal.SIGRTMIN + 3), ("RTMAX-1", signal.SIGRTMAX - 1)],
)
def test_names_and_numbers(text, number):
    assert signals.parse(text) == number
    assert signals.parse(signals.name(number)) == number


@pytest.mark.parametrize("text", ["", "0", "65", "999", "SIG", "HUPP", "-1", "\u0661", "SIG_IGN", "RTMIN-1000"])
def test_what_is_none(text):
    with pytest.raises(ValueError, match="unknown signal"):
        signals.parse(text)


def test_names_are_as_people_type_them():
    assert {"HUP", "TERM", "USR1"} <= set(signals.names())
