from datetime import UTC, datetime

import pytest

from polong.cli.durations import age, human, parse, rfc1123


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("1m30s", 90), ("2h", 7200), ("0", 0), ("250ms", 0.25), ("-1s", -1), ("10", 10), ("1.5h", 5400)]
)
def test_go_durations(text: str, seconds: float) -> None:
    assert parse(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5x", "5 s", "1m 30s", "five"])
def test_nonsense_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30s"):
        parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (130, "2m10s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 300, "3h5m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (50 * 3600, "2d2h"),
        (8 * 86400, "8d"),
        (700 * 86400, "700d"),
        (800 * 86400, "2y70d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_ages_are_kubectls(seconds: int, text: str) -> None:
    assert human(seconds) == text


def test_age_of_nothing_is_unknown() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert age(None, now) == "<unknown>"
    assert age("no time", now) == "<unknown>"
    assert age("2026-01-01T23:59:55Z", now) == "5s"


def test_describe_times() -> None:
    text = rfc1123("2026-01-02T03:04:05Z")
    assert datetime.strptime(text, "%a, %d %b %Y %H:%M:%S %z") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert rfc1123(None) == ""
