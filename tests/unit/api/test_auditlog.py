"""The audit log: what is worth a line, what a line says, and that it neither grows nor tells secrets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from polong.api.auditlog import AuditLog, Entry, event, matters
from polong.api.service import User
from polong.daemon.inprocess import node_user

PODS = "/api/v1/namespaces/default/pods"
JANE = User("jane", ("devs",), "u-1")


def entry(method: str = "POST", path: str = PODS, query: str = "", user: User | None = JANE) -> Entry:
    return Entry(method, path, query, "127.0.0.1", "kubectl/v1", user=user)


@pytest.mark.parametrize(
    ("asked", "code", "expected"),
    [
        (entry(), 201, True),
        (entry("DELETE", f"{PODS}/p"), 200, True),
        (entry("PATCH", f"{PODS}/p"), 409, True),
        (entry("GET"), 200, False),
        (entry("GET"), 403, True),
        (entry("GET", query="watch=true"), 200, False),
        (entry("GET", "/api/v1/namespaces/default/secrets/s"), 200, True),
        (entry("GET", f"{PODS}/p/exec", "command=id"), 101, True),
        (entry("GET", f"{PODS}/p/proxy/x"), 200, True),
        (entry("GET", "/healthz", user=None), 200, False),
        (entry("GET", "/openapi/v3", user=None), 401, True),
        (entry("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"), 201, False),
        (entry("PATCH", f"{PODS}/p/status", user=node_user("n")), 200, False),
        (entry("PATCH", f"{PODS}/p/status", user=node_user("n")), 403, True),
    ],
)
def test_what_matters(asked: Entry, code: int, expected: bool) -> None:
    assert matters(asked, code) is expected


def test_what_a_line_says() -> None:
    asked = entry("POST", f"{PODS}/p/exec", "command=mysql&command=-psecret&container=c", JANE)
    asked.actor = User("root")
    asked.notes = {"a.io/b": "c"}
    found = event(asked, 101, "ResponseStarted")
    assert (found["kind"], found["apiVersion"], found["level"], found["stage"]) == (
        "Event",
        "audit.k8s.io/v1",
        "Metadata",
        "ResponseStarted",
    )
    assert found["requestURI"] == f"{PODS}/p/exec?command=***&command=***&container=c"
    assert found["user"] == {"username": "jane", "uid": "u-1", "groups": ["devs"]}
    assert found["impersonatedUser"] == {"username": "root"}
    assert found["objectRef"] == {"resource": "pods", "namespace": "default", "name": "p", "apiVersion": "v1", "subresource": "exec"}
    assert (found["verb"], found["responseStatus"]["code"], found["annotations"]) == ("create", 101, {"a.io/b": "c"})
    assert len(event(entry(query="x=" + "y" * 100_000), 200, "ResponseComplete")["requestURI"]) <= 2048


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_written_once_and_private(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    log.start()
    asked = entry()
    log.record(asked, 201)
    log.record(asked, 201)
    log.record(entry("GET"), 200)
    for _ in range(200):
        await asyncio.sleep(0.01)
        if (tmp_path / "audit.log").exists() and lines(tmp_path / "audit.log"):
            break
    log.record(entry("DELETE", f"{PODS}/p"), 200)
    await log.aclose()
    assert [line["verb"] for line in lines(tmp_path / "audit.log")] == ["create", "delete"]
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


async def test_it_does_not_grow(tmp_path: Path) -> None:
    for round_ in range(12):
        log = AuditLog(tmp_path / "audit.log", max_bytes=3000, files=3)
        for number in range(4):
            log.record(entry(path=f"/api/v1/namespaces/r{round_}n{number}/pods"), 201)
        await log.aclose()
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["audit.log", "audit.log.1", "audit.log.2"]
    assert all(path.stat().st_size <= 3000 for path in tmp_path.iterdir())
    assert "r11n3" in str(lines(tmp_path / "audit.log")[-1]["requestURI"])


async def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLog(tmp_path / "missing" / "audit.log")
    log.record(entry(), 201)
    await log.aclose()
    assert "1 lines of the audit log are lost" in caplog.text
