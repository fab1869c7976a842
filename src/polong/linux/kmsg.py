"""The kernel's log (Documentation/ABI/testing/dev-kmsg): what it said of processes that it killed for want of memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

_RECORD = 8192
_MOST = 100_000
_OOM = re.compile(r"oom-kill:.*task_memcg=(?P<cgroup>\S*?),task=(?P<name>.*),pid=(?P<pid>\d+),uid=\d+")


def records(path: Path = Path("/dev/kmsg")) -> list[str]:
    """What the ring still holds, oldest first; empty where it cannot be read."""
    found: list[str] = []
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        while len(found) < _MOST:
            try:
                data = os.read(fd, _RECORD)
            except BrokenPipeError:
                # The oldest record was overwritten while we read; the next read goes on behind it.
                continue
            if not data:
                break
            found.append(data.decode("utf-8", "replace"))
    except OSError:
        return found
    finally:
        os.close(fd)
    return found


def oom_victim(pid: int, lines: Iterable[str]) -> tuple[str, str] | None:
    """(name, cgroup in the memory hierarchy) of the last process of that number that the OOM killer ended."""
    last = None
    for line in lines:
        if "oom-kill:" in line and (match := _OOM.search(line)) is not None and int(match["pid"]) == pid:
            last = match["name"], match["cgroup"]
    return last
