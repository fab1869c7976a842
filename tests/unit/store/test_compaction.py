"""When history is forgotten."""

from polong.store.compaction import Retention, Schedule


def test_by_age():
    schedule = Schedule(Retention(seconds=300, revisions=1000))
    assert schedule.due(0, 10) == 0
    assert schedule.due(60, 20) == 0
    assert schedule.due(300, 90) == 10
    assert schedule.due(361, 95) == 20


def test_by_number():
    schedule = Schedule(Retention(seconds=300, revisions=1000))
    assert schedule.due(0, 5000) == 4000
