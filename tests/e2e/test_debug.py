"""`polong debug`: a debugger that really sees its target, in shared and in isolated Pods, whatever the target's user and image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cluster import Client, Node, busybox, eventually, pod

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


def test_a_finished_debugger_leaves_nothing_but_its_status_and_its_log(node: Node, polong: Client, kubectl: Client) -> None:
    """Kubernetes removes nothing from spec.ephemeralContainers; what it costs the machine goes all the same."""
    polong.apply(pod("debug-often", busybox("app", "sleep 100000"), shareProcessNamespace=True))

    def told(name: str) -> Json:
        statuses = kubectl.json("get", "pod", "debug-often")["status"].get("ephemeralContainerStatuses") or []
        return next((each for each in statuses if each["name"] == name), {})

    def held(identity: str) -> list[str]:
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if identity in line]
        roots = [path for path in (node.root, *Path("/sys/fs/cgroup").glob("*/polong"), Path("/sys/fs/cgroup/polong")) if path.is_dir()]
        found = [str(path) for root in roots for path in root.rglob(f"*{identity}*") if "logs" not in path.parts]
        return [*mounts, *found, *(line for line in commands() if identity in line)]

    try:
        polong.ready("debug-often")
        done = polong.try_(
            "debug", "debug-often", "--", "sh", "-c", "dd if=/dev/zero of=/junk bs=1M count=5 2>/dev/null; echo last words; exit 3"
        )
        assert (done.returncode, done.stdout) == (3, "last words\n")
        (name,) = [each["name"] for each in polong.json("get", "pod", "debug-often")["spec"]["ephemeralContainers"]]
        before = eventually(lambda: "terminated" in told(name).get("state", {}) and told(name), "the end")
        identity = before["containerID"].removeprefix("polong://")
        assert held(identity)
        eventually(lambda: not held(identity), "the container to be cleared away", 30)
        assert told(name) == before
        assert before["state"]["terminated"]["exitCode"] == 3
        assert kubectl("logs", "debug-often", "-c", name) == "last words\n"
        assert f"{name}:" in kubectl("describe", "pod", "debug-often")
        refused = polong.try_("exec", "debug-often", "-c", name, "--", "true")
        assert refused.returncode == 1
        node.polong("down", "--keep-pods", timeout=90)
        node.up()
        polong.ready("debug-often")
        assert told(name) == before, "it does not come again"
        assert kubectl("logs", "debug-often", "-c", name, "--tail=1") == "last words\n"
    finally:
        polong.delete("debug-often")


def commands() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode("utf-8", "replace"))
        except OSError:
            continue
    return found


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
