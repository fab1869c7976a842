"""`polong debug`: a debugger that sees its target, and tools that end in a file, whoever the target is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import access_probe
from tests.e2e.cluster import Client, Node, busybox, eventually, pod

from polong.cli.debug_recipes import Recipe
from polong.cli.debug_tools import ToolImage

Json = dict[str, Any]

_BUSY = "import time\ndef busy():\n  return sum(range(10**6))\nwhile True:\n  busy()\n  time.sleep(0.001)\n"


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


USER = {"runAsUser": 1000, "runAsGroup": 1000, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
STRICT = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
PLACES: dict[str, tuple[str, Json, Json]] = {
    "isolated": ("core", {}, {}),
    "read-only": ("py-spy", {"shareProcessNamespace": True}, {**USER, "readOnlyRootFilesystem": True}),
    "userns": ("gdb", {"hostUsers": False}, USER),
    "userns-shared": ("py-spy", {"hostUsers": False, "shareProcessNamespace": True}, USER),
    "host-pid": ("strace", {"hostPID": True}, USER),
    "non-root": ("core", {"securityContext": {"runAsNonRoot": True, "runAsUser": 1000}}, {}),
}


@pytest.fixture(scope="module")
def image(node: Node) -> str:
    program = Path("/usr/bin/python3").resolve()
    return _image(node, program.name, f"/usr/lib/{program.name}")


def running(name: str, image: str, spec: Json, context: Json, *command: str) -> Json:
    words = list(command) or [Path("/usr/bin/python3").resolve().name, "-c", _BUSY]
    app = {"name": "app", "image": image, "imagePullPolicy": "Never", "command": words, "securityContext": context}
    return pod(name, app, **spec)


@pytest.mark.parametrize("place", PLACES)
def test_a_tool_works_wherever_its_target_is(polong: Client, image: str, tmp_path: Path, place: str) -> None:
    tool, spec, context = PLACES[place]
    polong.apply(running(f"at-{place}", image, spec, context))
    try:
        polong.ready(f"at-{place}")
        goal = tmp_path / "result"
        done = polong.try_("debug", f"at-{place}", "--with", tool, "--seconds", "1", "-o", str(goal), timeout=120)
        assert done.returncode == 0, done.stderr
        assert FOUND[tool](goal.read_bytes())
        (app,) = polong.json("get", "pod", f"at-{place}")["status"]["containerStatuses"]
        assert (app["ready"], app["restartCount"]) == (True, 0)
    finally:
        polong.delete(f"at-{place}")


FOUND: dict[str, Callable[[bytes], bool]] = {
    "py-spy": lambda data: b"busy" in data,
    "gdb": lambda data: b"#0 " in data,
    "strace": lambda data: b"(" in data,
    "core": lambda data: data[:4] == b"\x7fELF",
}


@pytest.fixture
def strict(polong: Client) -> Iterator[Client]:
    """Words before every command: a namespace that lets only restricted Pods in."""
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    polong.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": label}})
    yield polong
    polong("delete", "namespace", "strict", timeout=90)


def test_in_a_restricted_namespace_the_targets_own_user_looks(node: Node, strict: Client, image: str, tmp_path: Path) -> None:
    """Neither root nor a capability is to be had there; of one's own processes the kernel lets one look all the same."""
    polong = strict
    program = access_probe.build(tmp_path) / "probe"
    open_ = running("open", image, {"securityContext": STRICT}, USER)
    unseen = _image(node, "sleep", str(tmp_path))
    hidden = running("hidden", unseen, {"securityContext": STRICT}, USER, str(program), "sleep", "hidden")
    polong("apply", "-n", "strict", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [open_, hidden]}))
    for name in ("open", "hidden"):
        polong("wait", "-n", "strict", "--for=condition=Ready", f"pod/{name}", "--timeout=60s", timeout=90)
    for tool in ("py-spy", "gdb"):
        goal = tmp_path / tool
        done = polong.try_("debug", "-n", "strict", "open", "--with", tool, "--seconds", "1", "-o", str(goal), timeout=120)
        assert done.returncode == 0, done.stderr
        assert "no more through than Pod Security's restricted" in done.stderr
        assert "runs as user 1000, as container app does" in done.stderr
        assert FOUND[tool](goal.read_bytes())
    plain = polong.try_("debug", "-n", "strict", "open", "--", "sh", "-c", "id -u; ls /proc/1/root/usr/bin", timeout=90)
    assert plain.stdout.startswith("1000\n")
    assert "python3" in plain.stdout

    refused = polong.try_("debug", "-n", "strict", "open", "--cap", "SYS_PTRACE", "--", "id")
    assert refused.returncode == 1
    assert "violates PodSecurity" in refused.stderr
    assert "without --cap and --user the debugger runs as the target's own user" in refused.stderr

    why = polong.try_("debug", "-n", "strict", "hidden", "--with", "gdb", "-o", str(tmp_path / "none"), timeout=90)
    assert why.returncode == 1
    assert "the kernel does not let it: the target is not dumpable" in why.stderr
    assert not (tmp_path / "none").exists()


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
