from polong.kubelet.backoff import Backoff, after, step, wait_until


def test_delays_double_up_to_five_minutes() -> None:
    entry, now, delays = None, 0.0, []
    for _ in range(7):
        entry = step(entry, now, now)
        delays.append(entry.delay)
        now += entry.delay
    assert delays == [10, 20, 40, 80, 160, 300, 300]


def test_ten_quiet_minutes_reset() -> None:
    entry = Backoff(300, 1000)
    assert step(entry, 1599, 1599).delay == 300
    assert step(entry, 1601, 1601).delay == 10
    assert wait_until(entry, 1601) == 1601


def test_the_wait_counts_from_the_failure() -> None:
    assert wait_until(Backoff(20, 100), 130) == 150
    assert wait_until(None, 130) == 130


def test_what_stands_after_some_restarts() -> None:
    assert [after(each) for each in (0, 1, 2, 5, 6, 1000)] == [10, 10, 20, 160, 300, 300]
