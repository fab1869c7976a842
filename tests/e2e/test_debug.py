"""`polong debug`: a debugger that really sees its target, in shared and in isolated Pods, whatever the target's user and image."""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e.cluster import Client, busybox, eventually, pod

Json = dict[str, Any]

STATIC = {"name": "web", "image": "static-web", "env": [{"name": "COLOUR", "value": "green"}]}
MOUNTED = {**STATIC, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "isolated"])
def test_it_sees_a_shell_less_target_of_another_user(polong: Client, shared: bool) -> None:
    name = "debug-shared" if shared else "debug-isolated"
    spec = pod(name, MOUNTED, shareProcessNamespace=shared, volumes=[{"name": "data", "emptyDir": {}}])
    spec["spec"]["securityContext"] = {"runAsNonRoot": True, "runAsUser": 1000}
    polong.apply(spec)
    try:
        polong.ready(name)
        script = (
            "for p in /proc/[0-9]*; do grep -q ^/httpd $p/cmdline && target=$p; done;"
            " cat $target/root/www/index.html; echo $COLOUR; touch /data/seen && echo written; sleep 1; exit 7"
        )
        words = ["--cap", "SYS_PTRACE", "--volumes", "--env", "--", "sh", "-c", script]
        done = polong.try_("debug", name, "-c", "web", *words, timeout=90)
        assert done.stdout == "one static program, no shell\ngreen\nwritten\n", done.stderr
        assert done.returncode == 7
        assert "sees container web: its main process is PID" in done.stderr
        assert "/httpd" in done.stderr
        seen = polong.json("files", name, "-c", "web", "ls", "/data")
        assert [each["name"] for each in seen["items"]] == ["seen"]
    finally:
        polong.delete(name)


def test_a_terminal_in_it_and_the_end_of_those_that_run(polong: Client) -> None:
    polong.apply(pod("debug-tty", busybox("app", "sleep 100000"), shareProcessNamespace=True))
    try:
        polong.ready("debug-tty")
        with polong.terminal("debug", "-it", "debug-tty", "-c", "app", "--", "sh") as terminal:
            terminal.until_prompt()
            assert "sleep 100000" in terminal.command("ps")
        running = [each for each in polong.json("ps", "debug-tty")["items"] if each["container"].startswith("debugger-")]
        if running:
            assert "ended" in polong("debug", "debug-tty", "--stop")
        eventually(
            lambda: not [each for each in polong.json("ps", "debug-tty")["items"] if each["container"].startswith("debugger-")], "the end"
        )
        assert "no debugger runs" in polong.try_("debug", "debug-tty", "--stop").stderr
    finally:
        polong.delete("debug-tty")


def test_what_cannot_be_is_said_in_one_line(polong: Client) -> None:
    polong.apply(pod("debug-wrong", busybox("app", "sleep 100000")))
    try:
        polong.ready("debug-wrong")
        absent = polong.try_("debug", "debug-wrong", "--image", "localhost:1/none:1", timeout=90)
        assert absent.returncode == 1
        assert "cannot start: ImagePullBackOff" in absent.stderr
        assert polong.try_("debug", "debug-wrong", "-c", "ap").returncode == 1
        assert "behind --" in polong.try_("debug", "debug-wrong", "ls").stderr
        told = polong.try_("debug", "debug-wrong", "--cap", "SYS_PTRACE", "--user", "1000", "--", "true").stderr
        assert "they take effect for root only" in told
    finally:
        polong.delete("debug-wrong")
