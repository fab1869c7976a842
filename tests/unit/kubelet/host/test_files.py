"""The worker, on a tree of this test's own; and the hold on a container that is another process by now."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polong.kit.errors import FailedPrecondition, Invalid, NotFound, TooLarge
from polong.kubelet.host import files
from polong.kubelet.host.files import Place
from polong.kubelet.host.processes import Group
from polong.linux.fds import Fd
from polong.objects.podfiles import FileOptions

GROUP = Group("app", "id", "", os.getpid())


class Tree:
    """Stands for the root of a container."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, _: Group) -> Place:
        root = Fd(os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        return Place(root, Fd(os.pidfd_open(os.getpid())), os.getuid(), os.getgid())

    async def read(self, options: FileOptions) -> bytes:
        _, body = await files.look(GROUP, options, self)
        assert body is not None
        return b"".join([chunk async for chunk in body])


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").write_text("outside")
    return Tree(tmp_path / "root")


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_parts_and_tails(tree: Tree) -> None:
    (tree.root / "file").write_bytes(b"".join(b"%05d\n" % number for number in range(30_000)))
    assert await tree.read(FileOptions("/file", "read", offset=6, limit=6)) == b"00001\n"
    assert await tree.read(FileOptions("/file", "read", tail=2)) == b"29998\n29999\n"
    assert await tree.read(FileOptions("/file", "read", tail=0)) == b""
    assert (await tree.read(FileOptions("/file", "read", tail=20_000))).startswith(b"10000\n")
    assert len(await tree.read(FileOptions("/file", "read"))) == 180_000
    assert await tree.read(FileOptions("/file", "read", offset=10**9)) == b""


async def test_a_tail_without_line_ends(tree: Tree) -> None:
    (tree.root / "file").write_bytes(b"x" * 100)
    assert await tree.read(FileOptions("/file", "read", tail=3)) == b"x" * 100
    (tree.root / "file").write_bytes(b"\n\n\n")
    assert await tree.read(FileOptions("/file", "read", tail=2)) == b"\n\n"


async def test_following_goes_on_over_rotation_and_truncation(tree: Tree) -> None:
    log = tree.root / "log"
    log.write_text("one\n")
    _, body = await files.look(GROUP, FileOptions("/log", "read", tail=10, follow=True), tree)
    assert isinstance(body, files.Body)

    async def lines(count: int) -> list[str]:
        text = b""
        async with asyncio.timeout(10):
            while text.count(b"\n") < count:
                text += await anext(body)
        return text.decode().splitlines()

    try:
        assert await lines(1) == ["one"]
        log.rename(tree.root / "log.1")
        with (tree.root / "log.1").open("a") as old:
            old.write("late\n")
        log.write_text("two\n")
        assert await lines(2) == ["late", "two"]
        with log.open("a") as file:
            file.write("three\n")
        assert await lines(1) == ["three"]
        log.write_text("4\n")
        assert await lines(1) == ["4"]
        log.unlink()
        os.mkfifo(log)
        await asyncio.sleep(0.6)
        log.unlink()
        log.write_text("five\n")
        assert await lines(1) == ["five"]
    finally:
        await body.aclose()


async def test_names_that_are_no_text_are_read_and_written(tree: Tree) -> None:
    odd = os.fsdecode(b"/n\xff\n")
    await files.write(GROUP, odd, 0o600, pieces(b"odd"), tree)
    assert await tree.read(FileOptions(odd, "read")) == b"odd"
    found, _ = await files.look(GROUP, FileOptions(odd, "stat"), tree)
    assert found["name"] == "/n\\xff\n"
    with pytest.raises(NotFound, match=r"\\xff0: no such file"):
        await files.look(GROUP, FileOptions(os.fsdecode(b"/\xff0"), "stat"), tree)


async def test_a_body_that_nobody_reads_leaves_no_worker(tree: Tree) -> None:
    (tree.root / "file").write_bytes(b"x" * 10_000_000)
    _, body = await files.look(GROUP, FileOptions("/file", "read"), tree)
    assert isinstance(body, files.Body)
    await body.aclose()


async def test_outside_is_not_reached(tree: Tree) -> None:
    (tree.root / "link").symlink_to("../outside")
    for path in ("/link", "/../outside"):
        with pytest.raises(NotFound):
            await files.look(GROUP, FileOptions(path, "read"), tree)


async def test_a_sparse_giant_is_refused_at_once(tree: Tree) -> None:
    with (tree.root / "huge").open("wb") as file:
        file.truncate(files.MOST_BYTES + 1)
    with pytest.raises(TooLarge):
        await files.look(GROUP, FileOptions("/huge", "read"), tree)
    assert await tree.read(FileOptions("/huge", "read", offset=files.MOST_BYTES)) == b"\0"


async def test_a_file_is_put_in_place_whole(tree: Tree) -> None:
    found = await files.write(GROUP, "/new", 0o640, pieces(b"a", b"", b"b" * 200_000), tree)
    assert (found["sizeBytes"], found["mode"]) == (200_001, "0640")
    (tree.root / "new").chmod(0o600)
    await files.write(GROUP, "/new", 0o644, pieces(b"again"), tree)
    assert (tree.root / "new").read_bytes() == b"again"
    assert (tree.root / "new").stat().st_mode & 0o777 == 0o600


async def test_a_body_that_breaks_off_changes_nothing(tree: Tree) -> None:
    (tree.root / "kept").write_text("old")

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await files.write(GROUP, "/kept", 0o644, broken(), tree)
    assert (tree.root / "kept").read_text() == "old"
    assert [path.name for path in tree.root.iterdir()] == ["kept"]


async def test_a_link_is_not_written_through(tree: Tree) -> None:
    (tree.root / "link").symlink_to("../outside")
    with pytest.raises(Invalid):
        await files.write(GROUP, "/link", 0o644, pieces(b"x"), tree)
    assert (tree.root.parent / "outside").read_text() == "outside"


async def test_names_that_are_no_text_are_listed(tree: Tree) -> None:
    (tree.root / os.fsdecode(b"\xff\x1b")).touch()
    found, _ = await files.look(GROUP, FileOptions("/", "list"), tree)
    assert [item["name"] for item in found["items"]] == ["\\xff\x1b"]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: a process's root directory is its owner's")
def test_a_number_that_is_another_process_by_now_is_refused() -> None:
    with pytest.raises(FailedPrecondition):
        files.hold(Group("app", "id", "/not/its/cgroup", os.getpid()))
    with pytest.raises(FailedPrecondition):
        files.hold(Group("app", "id", "", 2**22 + 1))
    files.hold(GROUP).__exit__()
