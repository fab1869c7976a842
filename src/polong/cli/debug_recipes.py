"""What `debug --with` knows: for each tool what it is made of, how it is called, and the file that it ends with. Pure.

Every recipe runs as root with CAP_SYS_PTRACE in the debugger, which is what ptrace(2) asks for whoever the target is; jattach becomes the
target's user by itself. The target's files are seen through /proc/PID/root: the debugger has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

RESULT = "/tmp/result"


@dataclass(frozen=True)
class Run:
    """`pid` as the debugger counts, `seconds` to watch for, `words` after `--`."""

    pid: int
    seconds: int
    words: Sequence[str] = ()


@dataclass(frozen=True)
class Recipe:
    """`programs` are looked for on this machine; `trees` go along where they exist; `package` is what Debian or PyPI calls them.

    `command` ends with its result in RESULT, or on its standard output where `printed`; `accepts` are exit codes that are no failure.
    """

    does: str
    package: str
    programs: tuple[str, ...]
    command: Callable[[Run], list[str]]
    file: str
    printed: bool = False
    trees: tuple[str, ...] = ()
    accepts: frozenset[int] = frozenset({0})
    environment: Mapping[str, str] | None = None


def _gdb(run: Run, *then: str) -> list[str]:
    before = ("set pagination off", "set debuginfod enabled off", f"set sysroot /proc/{run.pid}/root", "set auto-load off")
    words = [word for each in (*before, f"attach {run.pid}", *then, "detach") for word in ("-ex", each)]
    return ["/usr/bin/gdb", "-nx", "-batch", *words]


RECIPES: Mapping[str, Recipe] = {
    "py-spy": Recipe(
        "a flame graph of a Python program, without stopping it",
        "py-spy (pip install py-spy)",
        ("py-spy",),
        lambda run: ["py-spy", "record", "--pid", str(run.pid), "--duration", str(run.seconds), "--output", RESULT, *run.words],
        "{container}.svg",
    ),
    "strace": Recipe(
        "the system calls of a process and its children",
        "strace (apt install strace)",
        ("strace", "timeout"),
        lambda run: ["timeout", "-s", "INT", str(run.seconds), "strace", "-f", "-tt", "-o", RESULT, *run.words, "-p", str(run.pid)],
        "{container}.strace",
        accepts=frozenset({0, 124, 130}),
    ),
    "gdb": Recipe(
        "the stacks of all threads",
        "gdb (apt install gdb)",
        ("gdb",),
        lambda run: _gdb(run, "thread apply all backtrace", *run.words),
        "{container}.backtrace",
        printed=True,
        trees=("/usr/share/gdb", "/usr/lib/python3.11", "/usr/lib/python3.12", "/usr/lib/python3.13"),
    ),
    "jcmd": Recipe(
        "the threads of a Java virtual machine, or another of its commands: -- GC.class_histogram",
        "jattach (apt install jattach)",
        ("jattach",),
        lambda run: ["jattach", str(run.pid), "jcmd", " ".join(run.words) or "Thread.print"],
        "{container}.jcmd",
        printed=True,
    ),
    "core": Recipe(
        "a core file; the process runs on",
        "gdb (apt install gdb)",
        ("gdb",),
        lambda run: _gdb(run, f"generate-core-file {RESULT}"),
        "{container}.core",
        trees=("/usr/share/gdb", "/usr/lib/python3.11", "/usr/lib/python3.12", "/usr/lib/python3.13"),
    ),
}
