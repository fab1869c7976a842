"""Files of static Pods: a directory's (or one file's) manifests, read again when something changed.

Source: kubelet config/file.go, file_linux.go.
"""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from polong.kit.clock import Clock
from polong.kit.tasks import Tasks
from polong.linux.flags import IN
from polong.linux.inotify import DirectoryWatch

_log = logging.getLogger(__name__)
MOST_BYTES = 10 << 20
_SETTLE = 0.05
_MASK = IN.CLOSE_WRITE | IN.MOVED_TO | IN.MOVED_FROM | IN.CREATE | IN.DELETE


def read(place: Path) -> Mapping[str, bytes | str]:
    """Path to content, or to why there is none, of each manifest: regular files whose names do not begin with a dot, also through links.
    Nothing where `place` does not exist."""
    try:
        names = sorted(each for each in place.iterdir() if not each.name.startswith(".")) if place.is_dir() else [place]
    except OSError as error:
        return {str(place): f"cannot read the directory: {error.strerror}"}
    found: dict[str, bytes | str] = {}
    for each in names:
        with suppress(FileNotFoundError):
            if (content := _content(each)) is not None:
                found[str(each)] = content
    return found


def _content(file: Path) -> bytes | str | None:
    """None for what is no manifest: a directory, a pipe, a device. FileNotFoundError where it vanished."""
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            return None
        if found.st_size > MOST_BYTES:
            return f"it has {found.st_size} bytes: more than {MOST_BYTES}"
        with file.open("rb") as opened:
            return opened.read(MOST_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        return f"cannot read it: {error.strerror}"


async def changes(place: Path, period: float, clock: Clock, changed: Callable[[], None]) -> None:
    """Forever: call `changed` when something in the directory did, and each `period` seconds in any case."""
    tasks = Tasks("manifests")
    try:
        _ = tasks.start(_watch(place, clock, changed), "watch")
        while True:
            await clock.sleep(period)
            changed()
    finally:
        await tasks.aclose()


async def _watch(place: Path, clock: Clock, changed: Callable[[], None]) -> None:
    """inotify where it can be had; the period sees what it does not tell."""
    directory = place if place.is_dir() else place.parent
    said = ""
    while True:
        try:
            with DirectoryWatch(directory, _MASK) as watch:
                changed()
                async for _ in watch.names():
                    # An editor writes, renames and removes at once.
                    await asyncio.sleep(_SETTLE)
                    watch.take()
                    changed()
        except OSError as error:
            if error.strerror != said:
                said = error.strerror or ""
                _log.info("cannot watch %s, looking at it now and then: %s", directory, said)
        await clock.sleep(_AGAIN)


_AGAIN = 5.0
