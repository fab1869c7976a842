"""Exits as they happen: conmon writes one file a container into the exit directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from polong.linux.inotify import DirectoryWatch


class ExitWatcher:
    """Calls `on_exit(container id)` once for each exit file, those of before the start included. Run `watch` as a task."""

    def __init__(self, directory: Path, on_exit: Callable[[str], None]) -> None:
        self._directory = directory
        self._on_exit = on_exit
        self._seen: set[str] = set()

    async def watch(self) -> None:
        """Until cancelled (or the directory is deleted)."""
        with DirectoryWatch(self._directory) as watch:
            # Listed after the watch began: an exit between the two is seen twice rather than never.
            self._list()
            async for name in watch.names():
                if name is None:
                    self._list()
                else:
                    self._report(name)

    def _list(self) -> None:
        names = {entry.name for entry in self._directory.iterdir()}
        self._seen &= names
        for name in sorted(names):
            self._report(name)

    def _report(self, name: str) -> None:
        # conmon writes to a hidden temporary name first.
        if name.startswith(".") or name.endswith(".new") or name in self._seen:
            return
        if not (self._directory / name).exists():
            return
        self._seen.add(name)
        self._on_exit(name)

    def forget(self, container_id: str) -> None:
        """After its exit file was deleted: the same id may end again."""
        self._seen.discard(container_id)
