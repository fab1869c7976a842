"""Exit files as they appear."""

import asyncio
import time
from pathlib import Path

from polong.kit.tasks import Tasks
from polong.oci.exits import ExitWatcher


async def test_each_once_and_again_after_forget(tmp_path: Path):
    seen: list[str] = []
    watcher = ExitWatcher(tmp_path, seen.append)
    (tmp_path / "early").write_text("0")
    tasks = Tasks("test")
    tasks.start(watcher.watch(), "exits")
    await _until(lambda: seen == ["early"])
    (tmp_path / ".hidden").write_text("1")
    (tmp_path / "late.new").write_text("1")
    (tmp_path / "late.new").rename(tmp_path / "late")
    await _until(lambda: seen == ["early", "late"])
    watcher.forget("early")
    (tmp_path / "early").write_text("1")
    await _until(lambda: seen == ["early", "late", "early"])
    await tasks.aclose()


async def _until(condition) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
