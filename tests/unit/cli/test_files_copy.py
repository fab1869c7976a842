"""What a container sends is written below the chosen directory and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from polong.cli import files_copy
from polong.cli.files import visible

Json = dict[str, Any]


class Evil:
    """A container that answers as it likes: `tree` maps paths to bytes or to the items of a directory."""

    def __init__(self, tree: dict[str, bytes | list[Json]]) -> None:
        self._tree = tree

    async def get(self, op: str, path: str) -> Json:
        found = self._tree[path]
        return {"type": "file", "mode": "4755"} if isinstance(found, bytes) else {"type": "directory", "items": found}

    async def read(self, path: str) -> AsyncIterator[bytes]:
        found = self._tree[path]
        assert isinstance(found, bytes)
        yield found


def item(name: str, kind: str = "file") -> Json:
    return {"name": name, "type": kind, "mode": "4777"}


async def test_names_cannot_climb(tmp_path: Path) -> None:
    names = ["..", ".", "", "a/b", "../x", "/etc/x", "good"]
    evil = Evil({":/d": [item(name) for name in names], ":/d/good": b"fine"})
    skipped = await files_copy.out(evil, ":/d", tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "good"]
    assert len(skipped) == len(names) - 1
    assert (tmp_path / "out" / "good").stat().st_mode & 0o7777 == 0o777


async def test_links_that_stand_here_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "d").mkdir()
    (tmp_path / "out" / "d" / "sub").symlink_to(outside)
    (tmp_path / "out" / "d" / "file").symlink_to(outside / "file")
    evil = Evil({":/d": [item("file"), item("sub", "directory")], ":/d/file": b"x", ":/d/sub": [item("deep")], ":/d/sub/deep": b"y"})
    with pytest.raises(OSError, match="Not a directory"):
        await files_copy.out(evil, ":/d", tmp_path / "out")
    assert list(outside.iterdir()) == []
    assert (tmp_path / "out" / "d" / "file").read_bytes() == b"x"


async def test_depth_is_bounded(tmp_path: Path) -> None:
    class Endless(Evil):
        async def get(self, op: str, path: str) -> Json:
            return {"type": "directory", "items": [item("d", "directory")]}

    with pytest.raises(Exception, match="directories deep"):
        await files_copy.out(Endless({}), ":/d", tmp_path)


def test_a_terminal_is_not_steered() -> None:
    assert visible(b"a\tb\n\x1b]52;x\x07\xff") == "a\tb\n\\x1b]52;x\\x07\\xff"
