"""What a container sends is written below the chosen directory and nowhere else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polong.cli import files_copy
from polong.cli.errors import Failure
from polong.cli.files import visible
from polong.kit import tarstream
from polong.kit.tarstream import Entry

Json = dict[str, Any]


class Evil:
    """A container that answers as it likes: `entries` are an archive."""

    def __init__(self, *entries: bytes) -> None:
        self._entries = entries

    async def get(self, op: str, path: str) -> Json:
        return {"type": "directory", "mode": "4755"}

    async def read(self, path: str) -> AsyncIterator[bytes]:
        raise AssertionError(path)
        yield b""

    async def archive(self, path: str) -> AsyncIterator[bytes]:
        yield b"".join(self._entries)


def file(name: str, content: bytes = b"x", mode: int = 0o4777) -> bytes:
    head = tarstream.header(Entry(os.fsencode(name), tarstream.REGULAR, mode, 0, 0, len(content), 0))
    return head + content + tarstream.padding(len(content))


def directory(name: str, mode: int = 0o755) -> bytes:
    return tarstream.header(Entry(name.encode(), tarstream.DIRECTORY, mode, 0, 0, 0, 0))


def link(name: str, goal: str) -> bytes:
    return tarstream.header(Entry(name.encode(), tarstream.SYMLINK, 0o777, 0, 0, 0, 0, goal.encode()))


END = tarstream.END


async def test_names_cannot_climb(tmp_path: Path) -> None:
    evil = Evil(file("../x"), file("a/../../x"), file(".."), file("good", b"fine"), END)
    skipped = await files_copy.out(evil, ":/d", tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "good"]
    assert len(skipped) == 3
    assert (tmp_path / "out" / "good").stat().st_mode & 0o7777 == 0o777


async def test_absolute_names_stay_beneath(tmp_path: Path) -> None:
    await files_copy.out(Evil(file("/etc/x"), END), ":/d", tmp_path / "out")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["out", "out/etc", "out/etc/x"]


async def test_links_that_stand_here_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "d").mkdir()
    (tmp_path / "out" / "d" / "sub").symlink_to(outside)
    (tmp_path / "out" / "d" / "file").symlink_to(outside / "file")
    evil = Evil(file("file"), directory("sub/"), file("sub/deep"), END)
    with pytest.raises(OSError, match="Not a directory"):
        await files_copy.out(evil, ":/d", tmp_path / "out")
    assert list(outside.iterdir()) == []
    assert (tmp_path / "out" / "d" / "file").read_bytes() == b"x"


async def test_links_of_the_archive_lead_nowhere_while_it_is_written(tmp_path: Path) -> None:
    """An archive that makes a link and then writes through it, and links that would lead out by way of each other."""
    (tmp_path / "secret").mkdir()
    evil = Evil(link("here", "../secret"), file("here/x"), link("in", "here/x"), link("round", "in/../../secret"), link("abs", "/etc"), END)
    skipped = await files_copy.out(evil, ":/d", tmp_path / "out")
    assert list((tmp_path / "secret").iterdir()) == []
    assert (tmp_path / "out" / "here" / "x").read_bytes() == b"x"
    assert (tmp_path / "out" / "in").readlink() == Path("here/x")
    assert [text.split()[0] for text in skipped] == ["here", "round", "abs"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.sampled_from(["..", ".", "a", "b", "l0", "l1", "l2"]), max_size=5)), max_size=3))
def test_no_link_that_is_kept_leaves_the_copy(links: list[tuple[int, list[str]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name) / "x" / "top"
        for each in ("a/b", "b/a"):
            (top / each).mkdir(parents=True)
        for number, (depth, words) in enumerate(links):
            parts = [*["a", "b", "a"][: min(depth, 2)], f"l{number}"]
            goal = "/".join(words)
            if files_copy.inside([part.encode() for part in parts], goal.encode()):
                top.joinpath(*parts).symlink_to(goal)
        for found in top.rglob("*"):
            with suppress(OSError, RuntimeError):
                assert found.resolve().is_relative_to(top.resolve()), (links, found)


async def test_modes_and_names_that_are_no_text(tmp_path: Path) -> None:
    evil = Evil(directory("./", 0o750), directory("ro/", 0o555), file("ro/f", b"y", 0o600), file("\udcff\n"), END)
    assert await files_copy.out(evil, ":/d", tmp_path / "out") == []
    assert (tmp_path / "out" / "ro").stat().st_mode & 0o777 == 0o555
    assert (tmp_path / "out" / "ro" / "f").stat().st_mode & 0o777 == 0o600
    assert b"\xff\n" in os.listdir(os.fsencode(tmp_path / "out"))  # noqa: PTH208 - bytes


async def test_an_archive_that_breaks_off_is_said_to(tmp_path: Path) -> None:
    for entries in ((file("a", b"x" * 600)[:700],), (file("a"),), (file("a"), tarstream.remark("failed", "too large"), END)):
        with pytest.raises(Failure, match="the copy is not whole"):
            await files_copy.out(Evil(*entries), ":/d", tmp_path / "out")
        assert not [path for path in (tmp_path / "out").iterdir() if path.name.endswith(".part")]


async def test_remarks_are_told(tmp_path: Path) -> None:
    evil = Evil(tarstream.remark("left-out", "fifo was left out: it is a fifo"), END)
    assert await files_copy.out(evil, ":/d", tmp_path / "out") == ["fifo was left out: it is a fifo"]


async def test_depth_is_bounded(tmp_path: Path) -> None:
    skipped = await files_copy.out(Evil(file("d/" * 200 + "f"), END), ":/d", tmp_path / "out")
    assert len(skipped) == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_where_a_copy_goes(tmp_path: Path) -> None:
    assert files_copy.below(tmp_path, ":/etc/nginx") == tmp_path / "nginx"
    assert files_copy.below(tmp_path, ":/etc/nginx/.") == tmp_path
    assert files_copy.below(tmp_path / "new", ":/etc/nginx") == tmp_path / "new"


def test_a_terminal_is_not_steered() -> None:
    assert visible(b"a\tb\n\x1b]52;x\x07\xff") == "a\tb\n\\x1b]52;x\\x07\\xff"
