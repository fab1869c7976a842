from datetime import UTC, datetime, timedelta, timezone

import pytest

from polong.kit import clock


def test_times_are_written_in_utc_as_kubernetes_does() -> None:
    moment = datetime(2026, 1, 2, 10, 4, 5, 678901, tzinfo=timezone(timedelta(hours=7)))
    assert clock.rfc3339(moment) == "2026-01-02T03:04:05Z"
    assert clock.rfc3339_micro(moment) == "2026-01-02T03:04:05.678901Z"


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z", "2026-01-02T10:04:05+07:00"])
def test_times_are_read_with_any_zone(text: str) -> None:
    assert clock.parse_rfc3339(text) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05", "yesterday", ""])
def test_times_without_zone_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        clock.parse_rfc3339(text)
