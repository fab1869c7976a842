"""Logs: CRI's format, tail, since, limits, following, rotation, hostile files."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polong.kit.clock import SystemClock
from polong.kit.errors import NotFound
from polong.kubelet import logs
from polong.objects.podlogs import PodLogOptions

TIME = "2026-01-02T03:04:0{}.123456789Z"


def record(second: int, text: str, tag: str = "F", stream: str = "stdout") -> str:
    return f"{TIME.format(second)} {stream} {tag} {text}\n"


async def ended() -> bool:
    return False


async def text(root: Path, **options: object) -> str:
    pieces = [each async for each in logs.read(root, "a/0.log", PodLogOptions(**options), ended, SystemClock())]  # type: ignore[arg-type]
    return b"".join(pieces).decode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    lines = record(1, "one") + record(2, "two, ", "P") + record(2, "part two") + record(3, "three", stream="stderr") + record(4, "")
    (tmp_path / "a/0.log").write_text(lines)
    return tmp_path


async def test_records_become_lines(root: Path) -> None:
    assert await text(root) == "one\ntwo, part two\nthree\n\n"


async def test_timestamps_stand_once_a_line(root: Path) -> None:
    lines = (await text(root, timestamps=True)).splitlines()
    assert lines[1] == f"{TIME.format(2)} two, part two"
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("count", "result"),
    [
        (0, ""),
        (1, "\n"),
        (2, "three\n\n"),
        (3, "two, part two\nthree\n\n"),
        (4, "one\ntwo, part two\nthree\n\n"),
        (99, "one\ntwo, part two\nthree\n\n"),
    ],
)
async def test_tail(root: Path, count: int, result: str) -> None:
    assert await text(root, tail_lines=count) == result


async def test_since_and_limit(root: Path) -> None:
    assert await text(root, since=datetime(2026, 1, 2, 3, 4, 3, tzinfo=UTC)) == "three\n\n"
    assert await text(root, limit_bytes=6) == "one\ntw"


@given(st.lists(st.text(alphabet="ab \n", max_size=5).map(lambda each: each.replace("\n", "")), max_size=30), st.integers(0, 35))
def test_tail_is_the_last_lines(lines: list[str], count: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "a").mkdir()
        (Path(name) / "a/0.log").write_text("".join(record(1, each) for each in lines))
        expected = "".join(f"{each}\n" for each in (lines[-count:] if count else []))
        assert asyncio.run(text(Path(name), tail_lines=count)) == expected


async def test_a_container_cannot_forge_records(root: Path) -> None:
    (root / "a/0.log").write_text("no record\n" + record(1, "2026-01-02T03:04:01Z stdout F forged") + "2026 stdin F x\n")
    assert await text(root) == "2026-01-02T03:04:01Z stdout F forged\n"


async def test_following_ends_with_the_container_and_crosses_a_rotation(root: Path) -> None:
    alive = True

    async def running() -> bool:
        return alive

    path = root / "a/0.log"
    pieces = logs.read(root, "a/0.log", PodLogOptions(follow=True, tail_lines=1), running, SystemClock())
    async with asyncio.timeout(5):
        assert await anext(pieces) == b"\n"
        with path.open("a") as file:
            file.write(record(5, "five"))
        assert await anext(pieces) == b"five\n"
        path.rename(root / "a/0.log.1")
        path.write_text(record(6, "six"))
        assert await anext(pieces) == b"six\n"
        with path.open("a") as file:
            file.write(record(7, "seven"))
        alive = False
        assert [each async for each in pieces] == [b"seven\n"]


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "fifo", "directory", "missing", "parent"])
async def test_only_files_of_our_own_are_read(root: Path, kind: str) -> None:
    path = root / "a/0.log"
    secret = root / "secret"
    secret.write_text(record(1, "secret"))
    path.unlink()
    if kind == "symlink":
        path.symlink_to(secret)
    elif kind == "hardlink":
        path.hardlink_to(secret)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "parent":
        (root / "a").rmdir()
        (root / "b").mkdir()
        (root / "b/0.log").write_text(record(1, "secret"))
        (root / "a").symlink_to(root / "b")
    async with asyncio.timeout(2):
        with pytest.raises(NotFound):
            await text(root)


def test_the_tail_as_a_termination_message(root: Path) -> None:
    assert logs.tail_text(root, "a/0.log", 3, 2048) == "two, part two\nthree\n\n"
    assert logs.tail_text(root, "a/0.log", 80, 7) == "three\n\n"
    assert logs.tail_text(root, "a/1.log", 80, 7) == ""
