"""`restart`: waits for the next instance."""

from .conftest import Api, Run


def status(api: Api, count: int, **state: dict) -> None:
    api.status(
        "nginx", containerStatuses=[{"name": "nginx", "restartCount": count, "state": state, "image": "", "imageID": "", "ready": True}]
    )


def test_restart(api: Api, polong: Run) -> None:
    api.pod()
    status(api, 2, running={"startedAt": "2026-01-01T00:00:00Z"})
    shown = polong("restart", "nginx", "-c", "nginx")
    assert (shown.code, shown.out) == (0, "container nginx of pod nginx restarted (restart count 2)\n")
    assert "is being restarted" in polong("restart", "nginx", "-c", "nginx", "--wait=false").out


def test_what_does_not_come_back(api: Api, polong: Run) -> None:
    api.pod()
    status(api, 1, running={"startedAt": "2026-01-01T00:00:00Z"})
    assert "does not run again after 0.3 s" in polong("restart", "nginx", "-c", "nginx", "--timeout", "300ms").err
    status(api, 2, terminated={"exitCode": 1, "reason": "Error"})
    assert "was restarted and is terminated again (Error)" in polong("restart", "nginx", "-c", "nginx").err
