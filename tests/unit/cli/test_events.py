"""`events` over a real API server."""

from .conftest import Api, Run
from .data import event


def test_events_of_one_object(api: Api, polong: Run) -> None:
    api.pod("a")
    api.pod("b")
    event(api, "a", "Pulled", "one")
    event(api, "b", "Failed", "two", "Warning")
    lines = polong("events", "--for", "pod/a").out.splitlines()
    assert lines[0].split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert lines[1].split()[1:] == ["Normal", "Pulled", "Pod/a", "one"]
    assert "two" in polong("events", "--types=Warning").out
