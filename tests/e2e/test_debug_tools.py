"""`polong debug`: a debugger that sees its target, and tools that end in a file, whoever the target is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cluster import Client, Node, busybox, eventually, pod

from polong.cli.debug_recipes import Recipe
from polong.cli.debug_tools import ToolImage

Json = dict[str, Any]

_BUSY = "def busy():\n  return sum(range(10**6))\nwhile True: busy()\n"


def _image(node: Node, program: str, *trees: str) -> str:
    """An image of a program of this machine, as `debug` makes its tools'."""
    made = ToolImage(Recipe("", "", (program,), lambda _: [], "", trees=trees))
    archive = made.archive()
    try:
        node.polong("images", "import", str(archive))
    finally:
        archive.unlink()
    return made.name


@pytest.fixture(scope="module")
def python(node: Node, polong: Client) -> Iterator[str]:
    """A shared Pod: a Python program of a user that is not root, and a neighbour."""
    program = Path("/usr/bin/python3").resolve()
    image = _image(node, program.name, f"/usr/lib/{program.name}")
    app = {"name": "app", "image": image, "imagePullPolicy": "Never", "command": [program.name, "-c", _BUSY]}
    app["securityContext"] = {"runAsUser": 1000, "runAsGroup": 1000, "capabilities": {"drop": ["ALL"]}}
    polong.apply(pod("python", app, busybox("neighbour", "exec sleep 1000"), shareProcessNamespace=True))
    polong.ready("python")
    yield "python"
    polong.delete("python")


def _finished(polong: Client, name: str) -> list[str]:
    """Debuggers of a Pod that have ended."""
    statuses = polong.json("get", "pod", name)["status"].get("ephemeralContainerStatuses") or []
    return [each["name"] for each in statuses if "terminated" in each["state"]]


def test_py_spy_draws_a_flame_graph(polong: Client, python: str, tmp_path: Path) -> None:
    goal = tmp_path / "app.svg"
    done = polong.try_("debug", python, "-c", "app", "--with", "py-spy", "--seconds", "2", "-o", str(goal))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(goal)
    assert " sees container app: its main process is PID" in done.stderr
    text = goal.read_text()
    assert text.startswith("<?xml")
    assert "busy" in text
    eventually(lambda: _finished(polong, python), "the debugger has ended")


def test_gdb_tells_the_stacks_and_core_leaves_a_core(polong: Client, python: str, tmp_path: Path) -> None:
    stacks, core = tmp_path / "stacks", tmp_path / "core"
    polong("debug", python, "-c", "app", "--with", "gdb", "-o", str(stacks), timeout=120)
    assert "Thread 1" in stacks.read_text()
    assert "#0 " in stacks.read_text()
    polong("debug", python, "-c", "app", "--with", "core", "-o", str(core), timeout=120)
    assert core.read_bytes()[:4] == b"\x7fELF"
    assert core.read_bytes()[16] == 4, "ET_CORE"
    assert core.stat().st_mode & 0o077 == 0, "memory of a program is nobody else's"
    (app,) = [each for each in polong.json("get", "pod", python)["status"]["containerStatuses"] if each["name"] == "app"]
    assert (app["ready"], app["restartCount"]) == (True, 0)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "isolated"])
def test_strace_writes_the_system_calls(polong: Client, tmp_path: Path, shared: bool) -> None:
    name, goal = f"strace-{str(shared).lower()}", tmp_path / "calls"
    app = busybox("app", "while :; do echo tick > /dev/null; sleep 0.1; done", securityContext={"runAsUser": 1000})
    polong.apply(pod(name, app, shareProcessNamespace=shared))
    polong.ready(name)
    try:
        polong("debug", name, "--with", "strace", "--seconds", "1", "-o", str(goal))
        assert "/dev/null" in goal.read_text()
        assert "execve(" in goal.read_text()
    finally:
        polong.delete(name)


def test_jcmd_tells_the_threads_of_java(node: Node, polong: Client, tmp_path: Path) -> None:
    java = shutil.which("java")
    assert java, "make setup installs a Java runtime"
    home = Path(java).resolve().parents[1]
    image = _image(node, "java", str(home), "/etc/java-17-openjdk")
    command = [str(home / "bin/java"), "-Xmx64m", "-XX:+UseSerialGC", "-m", "java.rmi/sun.rmi.registry.RegistryImpl", "1099"]
    app = {"name": "app", "image": image, "imagePullPolicy": "Never", "command": command, "securityContext": {"runAsUser": 1001}}
    polong.apply(pod("java", app, shareProcessNamespace=True))
    polong.ready("java")
    try:
        for words, told in (((), '"main"'), (("--", "VM.version"), "JDK 17")):
            goal = tmp_path / "told"
            polong("debug", "java", "--with", "jcmd", "-o", str(goal), *words, timeout=90)
            assert told in goal.read_text()
    finally:
        polong.delete("java")


def test_what_cannot_be(polong: Client, python: str, tmp_path: Path) -> None:
    for words, said in (
        ((python, "--image=busybox:1.28", "-o", "x"), "--output is for --with alone"),
        ((python, "--with", "gdb", "-i"), "takes no input"),
        ((python, "--with", "gdb", "-o", str(tmp_path / "none" / "x")), "there is no directory"),
        ((python, "-c", "nobody", "--with", "gdb"), "container nobody not found in pod python; it has: app, neighbour"),
        (("pythom", "--with", "gdb"), "did you mean 'python'"),
        ((python, "-c", "app", "--with", "jcmd", "-o", str(tmp_path / "x")), "the tool failed with exit code"),
        ((python, "-c", "app", "--image=missing:1", "--with", "strace", "-o", str(tmp_path / "x")), "cannot start: "),
    ):
        done = polong.try_("debug", *words)
        assert done.returncode != 0, words
        assert said in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir()), "nothing half-made"
