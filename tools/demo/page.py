"""The page's commands, typed into a real terminal, and its claims, checked against what the terminal shows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from tools.demo.node import Failed
from tools.terminal import Terminal

_PS_LINE = re.compile(r"^\s*(?P<pid>\d+)\s+(?P<user>\S+)\s+(?:\d+:\d+\s+)?(?P<command>.+?)\s*$")


@dataclass(frozen=True)
class Process:
    pid: int
    user: str
    command: str


def processes(text: str) -> list[Process]:
    """The lines of busybox' `ps`, with or without its column TIME."""
    found = (_PS_LINE.match(line) for line in text.splitlines())
    return [Process(int(each["pid"]), each["user"], each["command"]) for each in found if each]


def walk(command: list[str], environment: dict[str, str], echo: Callable[[str], object]) -> None:
    """Attach, do what the page does, and raise Failed where something is not as the page says."""
    with Terminal(command, env=environment, size=(110, 40), echo=echo) as terminal:
        terminal.send("\r")
        terminal.until_prompt()
        before = _ps(terminal)
        master, worker = expect_the_five(before)
        terminal.command(f"kill -HUP {master.pid}")
        _wait_for_new_worker(terminal, master, worker)
        text = terminal.command(f"head /proc/{master.pid}/root/etc/nginx/nginx.conf")
        if "worker_processes" not in text and "user " not in text:
            raise Failed("the other container's nginx.conf was not shown")
        echo("\n")


def _ps(terminal: Terminal) -> list[Process]:
    return processes(terminal.command("ps ax"))


def expect_the_five(found: list[Process]) -> tuple[Process, Process]:
    """The page's five processes and no other; the master and the worker."""
    wanted = {
        "/pause": (r"/pause$", "root"),
        "the nginx master": (r"nginx: master process nginx -g daemon off;$", "root"),
        "an nginx worker": (r"nginx: worker process$", r"101|nginx|systemd\+"),
        "sh": (r"(/bin/)?sh$", "root"),
        "ps ax": (r"ps ax$", "root"),
    }
    chosen: dict[str, list[Process]] = {
        name: [each for each in found if re.match(command, each.command) and re.fullmatch(user, each.user)]
        for name, (command, user) in wanted.items()
    }
    for name, matches in chosen.items():
        if not matches:
            raise Failed(f"{name} is not among the Pod's processes")
    strangers = [each for each in found if not any(each in matches for matches in chosen.values())]
    if strangers:
        raise Failed(f"there are processes that the page does not know: {strangers}")
    if chosen["/pause"][0].pid != 1:
        raise Failed("/pause is not PID 1")
    return chosen["the nginx master"][0], chosen["an nginx worker"][0]


def _wait_for_new_worker(terminal: Terminal, master: Process, worker: Process) -> None:
    """nginx takes a moment to replace its worker; a person would look again, and so does this, up to five times."""
    for _ in range(5):
        time.sleep(0.8)
        after = _ps(terminal)
        pids = {each.pid for each in after}
        workers = [each.pid for each in after if each.command.startswith("nginx: worker process") and "shutting" not in each.command]
        if master.pid in pids and workers and worker.pid not in pids:
            return
    raise Failed(f"after the HUP the worker {worker.pid} was not replaced")
