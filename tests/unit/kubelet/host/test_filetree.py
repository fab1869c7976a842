"""Trees into and out of a container, on directories of this test's own: what a container lays in the way leads nowhere."""

from __future__ import annotations

import asyncio
import ctypes
import io
import os
import socket
import stat
import tarfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.unit.kubelet.host.test_files import GROUP, Tree

from polong.kit.errors import FailedPrecondition, Invalid, PolongError
from polong.kubelet.host import files
from polong.objects.podfiles import FileOptions

RENAME_EXCHANGE, AT_FDCWD = 2, -100
_libc = ctypes.CDLL(None)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    return Tree(tmp_path / "root")


def archive(**entries: bytes | str | int | None) -> bytes:
    """Names to content (bytes), the goal of a link (str), a directory (None), or a type of tar (int). "__" stands for "/"."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in entries.items():
            info = tarfile.TarInfo(name.replace("__", "/").replace("UP", ".."))
            info.mode = 0o750 if content is None else 0o6640
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            elif isinstance(content, int):
                info.type = bytes([content])
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


async def put(tree: Tree, path: str, data: bytes) -> dict[str, object]:
    return await files.write_tree(GROUP, path, pieces(data), tree)


async def test_a_tree_goes_in_and_out_as_it_is(tree: Tree, tmp_path: Path) -> None:
    names = {f"d__f{number}": os.urandom(number * 999) for number in range(20)}
    answer = await put(tree, "/new", archive(d=None, link="d/f1", **names, d__e=None, d__e__deep=b"deep"))
    assert answer["entries"] == 24
    top = tree.root / "new"
    assert (top / "d" / "f19").read_bytes() == names["d__f19"]
    assert (stat.S_IMODE((top / "d").stat().st_mode), stat.S_IMODE((top / "d" / "f3").stat().st_mode)) == (0o750, 0o640)
    assert (top / "link").readlink() == Path("d/f1")

    _, body = await files.look(GROUP, FileOptions("/new", "archive"), tree)
    assert body is not None
    data = b"".join([chunk async for chunk in body])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {member.name: member for member in tar}
        assert tar.extractfile("d/f7").read() == names["d__f7"]  # type: ignore[union-attr]
        assert found["link"].linkname == "d/f1"
        assert oct(found["d"].mode) == "0o750"
        assert found["d/f3"].uid == os.getuid()
    assert sorted(found)[:3] == [".", "d", "d/e"]


async def test_once_more_over_what_is_there(tree: Tree) -> None:
    await put(tree, "/t", archive(f=b"one", link="f"))
    (tree.root / "t" / "f").chmod(0o604)
    (tree.root / "t" / "mine").write_text("mine")
    (tree.root / "t" / "turns").symlink_to("f")
    await put(tree, "/t", archive(f=b"two", link="mine", turns=b"file"))
    assert (tree.root / "t" / "f").read_bytes() == b"two"
    assert stat.S_IMODE((tree.root / "t" / "f").stat().st_mode) == 0o604
    assert (tree.root / "t" / "link").readlink() == Path("mine")
    assert (tree.root / "t" / "mine").read_text() == "mine"
    assert not (tree.root / "t" / "turns").is_symlink()


async def test_nothing_goes_through_a_link(tree: Tree, tmp_path: Path) -> None:
    """Neither one that stands there, nor one that the archive brings."""
    (tree.root / "t").mkdir()
    (tree.root / "t" / "d").symlink_to("/elsewhere")
    (tree.root / "elsewhere").mkdir()
    with pytest.raises(Invalid, match="/t/d is a link, not a directory: nothing is written through it; nothing was written"):
        await put(tree, "/t", archive(d__f=b"x"))
    with pytest.raises(Invalid, match="/t/e is a link, not a directory"):
        await put(tree, "/t", archive(e=str(tmp_path / "outside"), e__f=b"x"))
    assert list((tree.root / "elsewhere").iterdir()) == []
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize(
    ("entries", "words"),
    [({"UP__x": b"x"}, "climbs"), ({"a__UP__UP__x": b"x"}, "climbs"), ({"__etc__x": b"x"}, ""), ({"d__" * 200 + "f": b"x"}, "deep")],
)
async def test_names_of_the_archive_stay_beneath(tree: Tree, entries: dict[str, bytes], words: str) -> None:
    if not words:
        await put(tree, "/t", archive(**entries))
        assert (tree.root / "t" / "etc" / "x").exists()
        return
    with pytest.raises(PolongError, match=words):
        await put(tree, "/t", archive(**entries))
    assert not (tree.root / "t").exists(), "nothing half-made"


async def test_what_stands_in_the_way_is_named(tree: Tree) -> None:
    (tree.root / "d").mkdir()
    (tree.root / "file").write_text("x")
    os.mkfifo(tree.root / "fifo")
    for entries, words in (
        ({"d": b"x"}, "/d is a directory, not a regular file"),
        ({"file": None}, "/file is a file, not a directory"),
        ({"fifo": b"x"}, "/fifo is a fifo"),
        ({"d": "link"}, "/d is a directory, not a link"),
    ):
        with pytest.raises(Invalid, match=words):
            await put(tree, "/", archive(**entries))
    answer = await put(tree, "/", archive(a=b"x", device=ord("3"), pipe=ord("6"), hard=ord("1")))
    assert [str(text).split()[0] for text in answer["leftOut"]] == ["/device", "/pipe", "/hard"]  # type: ignore[union-attr]
    assert {path.name for path in tree.root.iterdir()} == {"a", "d", "fifo", "file"}


async def test_an_archive_that_breaks_off_says_what_is_there(tree: Tree) -> None:
    whole = archive(a=b"x" * 3000, b=b"y" * 3000)
    with pytest.raises(Invalid, match="cut off; 1 files and directories were written before"):
        await put(tree, "/t", whole[:5000])
    assert [path.name for path in (tree.root / "t").iterdir()] == ["a"]

    async def broken() -> AsyncIterator[bytes]:
        yield whole[:700]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await files.write_tree(GROUP, "/u", broken(), tree)
    assert not (tree.root / "u").exists()


async def test_specials_are_left_out_by_name_and_never_opened(tree: Tree) -> None:
    top = tree.root / "t"
    top.mkdir()
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(top / "socket"))
    with (top / "huge").open("wb") as file:
        file.truncate(files.MOST_BYTES + 1)
    with (top / "sparse").open("wb") as file:
        file.truncate(3 << 20)
    (top / "out").symlink_to("/etc/passwd")
    _, body = await files.look(GROUP, FileOptions("/t", "archive"), tree)
    assert body is not None
    async with asyncio.timeout(20):
        data = b"".join([chunk async for chunk in body])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert sorted(tar.getnames()) == [".", "out", "sparse"]
        assert tar.getmember("sparse").size == 3 << 20
        assert tar.getmember("out").issym()
    for words in (b"fifo was left out: it is a fifo", b"socket was left out: it is a socket", b"huge was left out: it has"):
        assert words in data


async def test_a_file_is_no_directory(tree: Tree) -> None:
    (tree.root / "f").write_text("x")
    with pytest.raises(Invalid, match="is a file, not a directory"):
        await files.look(GROUP, FileOptions("/f", "archive"), tree)
    with pytest.raises(PolongError):
        await put(tree, "/f", archive(a=b"x"))
    with pytest.raises(PolongError):
        await put(tree, "/none/there", archive(a=b"x"))


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[list[int]]:
    """Exchanges two names as fast as it can."""
    stop = threading.Event()
    turns = [0]

    def swap() -> None:
        while not stop.is_set():
            _libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
            turns[0] += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield turns
    finally:
        stop.set()
        thread.join()


async def test_a_racer_leads_neither_way_out(tree: Tree, tmp_path: Path) -> None:
    """Row 50: a directory becomes a link to the host and back while a tree is written to it and read from it."""
    top, outside = tree.root / "t", tmp_path / "outside"
    (top / "d" / "e").mkdir(parents=True)
    (top / "d" / "e" / "canary").write_text("mine")
    (outside / "e").mkdir()
    (outside / "e" / "canary").write_text("host")
    (top / "swap").symlink_to(outside)
    data = archive(**{f"d__e__f{number}": b"x" * 50 for number in range(50)}, d__e__canary=b"mine")
    done = 0
    with swapping(top / "d", top / "swap") as turns:
        for _ in range(15):
            with suppress(Invalid, FailedPrecondition):
                await put(tree, "/t", data)
                done += 1
            found, body = await files.look(GROUP, FileOptions("/t", "archive"), tree)
            assert found["type"] == "directory"
            assert body is not None
            read = b"".join([chunk async for chunk in body])
            with tarfile.open(fileobj=io.BytesIO(read)) as tar:
                for member in tar:
                    if member.name.endswith("canary"):
                        assert tar.extractfile(member).read() == b"mine"  # type: ignore[union-attr]
    assert turns[0] > 1000
    assert done, "no copy at all came through: nothing was shown"
    assert [path.name for path in outside.rglob("*")] == ["e", "canary"]
    assert (outside / "e" / "canary").read_text() == "host"
