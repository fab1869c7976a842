"""Completed files in a directory."""

import asyncio
from pathlib import Path

import pytest

from polong.linux import inotify
from polong.linux.inotify import DirectoryWatch


async def test_names_of_written_and_renamed_files(tmp_path: Path):
    with DirectoryWatch(tmp_path) as watch:
        (tmp_path / "a").write_text("x")
        (tmp_path / "b.new").write_text("y")
        (tmp_path / "b.new").rename(tmp_path / "b")
        names = watch.names()
        seen = [await asyncio.wait_for(anext(names), 5) for _ in range(3)]
        await names.aclose()
    assert seen == ["a", "b.new", "b"]


async def test_wait_for_a_file_or_for_the_end(tmp_path: Path):
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, (tmp_path / "pid").write_text, "7")
    assert await asyncio.wait_for(inotify.wait_for(tmp_path / "pid", ended), 5)
    assert await asyncio.wait_for(inotify.wait_for(tmp_path / "pid", ended), 5)
    asyncio.get_running_loop().call_later(0.01, ended.set_result, 1)
    assert not await asyncio.wait_for(inotify.wait_for(tmp_path / "other", ended), 5)


def test_a_missing_directory(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        DirectoryWatch(tmp_path / "missing")
