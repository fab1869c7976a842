"""Each file of examples/ does what its head says."""

from __future__ import annotations

import pytest
from tests.e2e.cluster import EXAMPLES, Client, eventually
from tools.demo.page import processes


@pytest.fixture
def example(request: pytest.FixtureRequest, polong: Client):
    name = request.param
    polong("apply", "-f", str(EXAMPLES / f"{name}.yaml"))
    try:
        polong.ready(name)
        yield name
    finally:
        polong.delete(name)


@pytest.mark.parametrize("example", ["isolated"], indirect=True)
def test_isolated(polong: Client, example: str) -> None:
    with polong.terminal("attach", "-it", example, "-c", "shell") as terminal:
        terminal.send("\r")
        terminal.until_prompt()
        assert [(each.pid, each.command) for each in processes(terminal.command("ps ax")) if each.pid == 1] == [(1, "sh")]


@pytest.mark.parametrize("example", ["log-sidecar"], indirect=True)
def test_log_sidecar_follows_and_rotates(polong: Client, example: str) -> None:
    def request() -> None:
        polong("exec", example, "-c", "logs", "--", "wget", "-qO-", "http://127.0.0.1/")

    request()
    eventually(lambda: "GET / HTTP" in polong("logs", example, "-c", "logs"), "the access log in the side-car's log")
    for _ in range(20):
        request()
    eventually(lambda: "rotated" in polong("logs", example, "-c", "logs"), "rotation")
    request()
    assert "access.log.1" in polong("exec", example, "-c", "logs", "--", "ls", "/logs")
    eventually(lambda: "GET / HTTP" in polong("logs", example, "-c", "logs").rpartition("rotated")[2], "a request after rotation")


@pytest.mark.parametrize("example", ["shell-less"], indirect=True)
def test_shell_less_is_looked_into_from_its_side_car(polong: Client, example: str) -> None:
    assert polong.try_("exec", example, "-c", "web", "--", "sh").returncode != 0
    debug = ("exec", example, "-c", "debug", "--")
    (server,) = (each for each in processes(polong(*debug, "ps", "ax")) if each.command.startswith("/httpd"))
    assert server.user == "1000"
    assert polong(*debug, "cat", f"/proc/{server.pid}/root/www/index.html") == "one static program, no shell\n"
    assert polong(*debug, "wget", "-qO-", "http://127.0.0.1:8080/") == "one static program, no shell\n"
    polong(*debug, "kill", str(server.pid))
    eventually(
        lambda: [each["restartCount"] for each in polong.json("get", "pod", example)["status"]["containerStatuses"]] in ([0, 1], [1, 0]),
        "one restart of web",
    )
