"""What only the durable implementation promises: nothing acknowledged is lost, and no revision is given twice."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from polong.kit import errors
from polong.store import SQLiteStorage
from polong.store.highwater import BLOCK

WRITER = """
import asyncio, sys
from pathlib import Path
from polong.store import SQLiteStorage

async def main():
    storage = await SQLiteStorage.open(Path(sys.argv[1]))
    async def write(name):
        for number in range(10**6):
            revision = await storage.create(f"/k/{name}/{number}", b"v" * 500)
            print(name, number, revision, flush=True)
    await asyncio.gather(*(write(f"{sys.argv[2]}{name}") for name in range(4)))

asyncio.run(main())
"""


def killed_writer(path: Path, acknowledged: int, names: str = "") -> list[list[str]]:
    """A child writes until it has told of so many writes, then dies at once; (writer, number, revision) of all that it told."""
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path), names], stdout=subprocess.PIPE, text=True)
    try:
        lines = [child.stdout.readline() for _ in range(acknowledged)]
    finally:
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
        child.stdout.close()
        child.wait()
    return [line.split() for line in [*lines, *rest.splitlines(keepends=True)] if line.endswith("\n")]


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


async def create_many(storage: SQLiteStorage) -> None:
    for number in range(1000):
        await storage.create(f"/more/{number}", b"x" * 100_000)


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


async def test_reopens_with_everything(path: Path):
    storage = await SQLiteStorage.open(path)
    first = await storage.create("/a", b"1")
    await storage.create("/b", b"2")
    await storage.delete("/b")
    await storage.aclose()
    storage = await SQLiteStorage.open(path)
    assert await storage.revision() == 3
    assert (await storage.get("/a")).revision == first
    assert await storage.get("/b") is None
    assert [event.type for event in [await anext(watch) for watch in [storage.watch("/b", 0)] for _ in range(2)]] == ["create", "delete"]
    await storage.aclose()


async def test_files_are_private(path: Path):
    storage = await SQLiteStorage.open(path)
    await storage.create("/a", b"1")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o077 for file in path.parent.iterdir()} == dict.fromkeys(
        [file.name for file in path.parent.iterdir()], 0
    )
    await storage.aclose()


async def test_second_open_is_refused(path: Path):
    storage = await SQLiteStorage.open(path)
    with pytest.raises(errors.FailedPrecondition, match=f"process {os.getpid()} has it open"):
        await SQLiteStorage.open(path)
    await storage.create("/a", b"still works")
    await storage.aclose()
    again = await SQLiteStorage.open(path)
    await again.aclose()


@pytest.mark.parametrize("acknowledged", [1, 150])
async def test_killed_while_writing_keeps_every_acknowledged_write(path: Path, acknowledged: int):
    told = killed_writer(path, acknowledged)
    assert len(told) >= acknowledged
    storage = await SQLiteStorage.open(path)
    for name, number, revision in told:
        found = await storage.get(f"/k/{name}/{number}")
        assert found is not None
        assert found.revision == int(revision)
    assert await storage.create("/after", b"") > max(int(revision) for _, _, revision in told)
    await storage.aclose()


async def test_restored_copy_starts_a_new_epoch(path: Path, tmp_path: Path):
    storage = await SQLiteStorage.open(path)
    await storage.create("/a", b"1")
    await storage.aclose()
    shutil.copy(path, tmp_path / "copy")
    storage = await SQLiteStorage.open(path)
    last = await storage.create("/b", b"2")
    await storage.aclose()
    shutil.copy(tmp_path / "copy", path)
    storage = await SQLiteStorage.open(path)
    assert await storage.revision() > last
    with pytest.raises(errors.Gone):
        await anext(storage.watch("/", last))
    assert [item.key for item in (await storage.list("/")).items] == ["/a"]
    start = await storage.revision()
    revision = await storage.create("/c", b"3")
    assert (await anext(storage.watch("/", start))).revision == revision
    await storage.aclose()


async def test_lost_database_does_not_go_back(path: Path):
    storage = await SQLiteStorage.open(path)
    last = await storage.create("/a", b"1")
    await storage.aclose()
    path.unlink()
    storage = await SQLiteStorage.open(path)
    assert await storage.create("/a", b"1") > last
    await storage.aclose()


async def test_another_boot_without_a_clean_stop_jumps(path: Path):
    storage = await SQLiteStorage.open(path)
    await storage.create("/a", b"1")
    await storage.aclose()
    mark = path.with_name("state.db.revision")
    reserved, last, _, _ = mark.read_text().split()
    mark.write_text(f"{reserved} {last} 0 another-boot\n")
    storage = await SQLiteStorage.open(path)
    assert await storage.revision() == int(reserved)
    await storage.aclose()
    storage = await SQLiteStorage.open(path)  # that stop was clean
    assert await storage.revision() == int(reserved)
    await storage.aclose()


async def test_damaged_mark_jumps(path: Path):
    storage = await SQLiteStorage.open(path)
    await storage.create("/a", b"1")
    await storage.aclose()
    path.with_name("state.db.revision").write_bytes(b"\0" * 80)
    storage = await SQLiteStorage.open(path)
    assert await storage.revision() == 1 + BLOCK
    await storage.aclose()


async def test_revisions_cross_a_block(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polong.store.highwater.BLOCK", 5)
    storage = await SQLiteStorage.open(path)
    for number in range(17):
        await storage.create(f"/{number}", b"")
    reserved, last, clean, _ = path.with_name("state.db.revision").read_text().split()
    assert int(last) == 17 <= int(reserved)
    assert clean == "0"
    await storage.aclose()


async def test_torn_log_recovers_a_prefix(path: Path, tmp_path: Path):
    killed_writer(path, 60)
    wal = path.with_name("state.db-wal")
    size = wal.stat().st_size
    assert size > 10_000
    for number, cut in enumerate(range(0, size, max(1, size // 7))):
        other = tmp_path / f"cut{number}"
        shutil.copytree(path.parent, other)
        with (other / "state.db-wal").open("r+b") as file:
            file.truncate(cut)
        mark = (other / "state.db.revision").read_text().split()
        storage = await SQLiteStorage.open(other / "state.db")
        items = (await storage.list("/k/")).items
        assert all(item.value == b"v" * 500 for item in items)
        assert {item.revision for item in items} == set(range(1, len(items) + 1))
        assert await storage.revision() >= int(mark[1])
        await storage.aclose()


async def test_newer_format_is_refused(path: Path):
    storage = await SQLiteStorage.open(path)
    await storage.aclose()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(errors.FailedPrecondition, match="format 99 is newer"):
        await SQLiteStorage.open(path)


@pytest.mark.parametrize("damage", [b"this is no database at all, but long enough to look at" * 20, b"SQLite format 3\0" + b"\xff" * 4096])
async def test_damage_is_one_clear_line(path: Path, damage: bytes):
    path.parent.mkdir()
    path.write_bytes(damage)
    with pytest.raises(errors.FailedPrecondition, match="it is damaged") as raised:
        await SQLiteStorage.open(path)
    assert "\n" not in str(raised.value)
    path.write_bytes(b"")
    await (await SQLiteStorage.open(path)).aclose()  # nothing was left locked


async def test_unreachable_path_is_one_clear_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.Unavailable, match="cannot open"):
        await SQLiteStorage.open(tmp_path / "file" / "state.db")


async def test_compaction_shrinks_and_survives(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polong.store.log.SWEEP", 7)
    storage = await SQLiteStorage.open(path)
    revision = await storage.create("/a", b"0")
    for number in range(100):
        revision = await storage.update("/a", b"%d" % number, revision)
        await storage.create(f"/t/{number}", b"")
        revision_of_end = await storage.delete(f"/t/{number}")
    await storage.compact(revision_of_end)
    await storage.aclose()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM log").fetchone() == (1,)
    connection.close()
    storage = await SQLiteStorage.open(path)
    assert [(item.key, item.value) for item in (await storage.list("/")).items] == [("/a", b"99")]
    assert await storage.revision() == revision_of_end
    await storage.aclose()


async def test_log_of_writes_is_cut(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polong.store.writer.WAL_LIMIT", 100_000)
    storage = await SQLiteStorage.open(path)
    for number in range(100):
        await storage.create(f"/{number}", b"x" * 5000)
    assert path.with_name("state.db-wal").stat().st_size < 150_000
    await storage.aclose()


async def test_writers_share_transactions(path: Path):
    storage = await SQLiteStorage.open(path)
    commits = 0
    original = storage._writer.log.commit

    def count() -> None:
        nonlocal commits
        commits += 1
        original()

    storage._writer.log.commit = count
    await asyncio.gather(*(storage.create(f"/{number}", b"") for number in range(200)))
    assert commits < 50
    await storage.aclose()


@pytest.mark.root
async def test_full_disk(tmp_path: Path):
    """Reads go on; what adds is refused; what deletes may use the room kept for it; freed space heals."""
    with small_disk(tmp_path):
        storage = await SQLiteStorage.open(tmp_path / "state.db")
        try:
            for number in range(20):
                await storage.create(f"/{number}", b"x" * 10_000)
            with pytest.raises(OSError, match="No space"):
                fill(tmp_path / "hog")
            with pytest.raises(errors.Unavailable, match="no space left on its disk"):
                await create_many(storage)
            assert (await storage.get("/3")).value == b"x" * 10_000
            await storage.delete("/3")
            assert await storage.get("/3") is None
            with pytest.raises(errors.Unavailable, match="no space left on its disk"):
                await storage.create("/3", b"")
            (tmp_path / "hog").unlink()
            assert await storage.create("/3", b"again") > 0
        finally:
            await storage.aclose()
        storage = await SQLiteStorage.open(tmp_path / "state.db")
        assert (await storage.get("/3")).value == b"again"
        await storage.aclose()


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A database whose writer was killed, with all that it wrote still in the log; and the last revision that was acknowledged."""
    path = tmp_path_factory.mktemp("killed") / "state" / "state.db"
    killed_writer(path, 60)
    return path.parent, int((path.parent / "state.db.revision").read_text().split()[1])


async def after_damage(folder: Path, acknowledged: int) -> None:
    """What is left is a prefix of what was written, and no revision is ever given twice, however much of it is lost."""
    storage = await SQLiteStorage.open(folder / "state.db")
    try:
        items = (await storage.list("/k/")).items
        assert all(item.value == b"v" * 500 for item in items)
        assert {item.revision for item in items} == set(range(1, len(items) + 1))
        assert await storage.revision() >= acknowledged
        assert await storage.create("/after", b"") > acknowledged
        if len(items) < acknowledged:
            # Whoever watched from a revision that is gone is told to list again, not left with what never was.
            with pytest.raises(errors.Gone):
                await anext(storage.watch("/", acknowledged))
    finally:
        await storage.aclose()


async def test_rule_12_a_log_cut_anywhere(killed: tuple[Path, int], tmp_path: Path):
    folder, acknowledged = killed
    size = (folder / "state.db-wal").stat().st_size
    for number, cut in enumerate(range(0, size, 173 * max(1, size // 173 // 60))):
        other = tmp_path / f"cut{number}"
        shutil.copytree(folder, other)
        os.truncate(other / "state.db-wal", cut)
        await after_damage(other, acknowledged)
        shutil.rmtree(other)


async def test_rule_12_a_log_with_flipped_bytes(killed: tuple[Path, int], tmp_path: Path):
    """SQLite reports none of these: what follows a flip is silently not there."""
    folder, acknowledged = killed
    whole = (folder / "state.db-wal").read_bytes()
    chance = random.Random(12)
    lost = 0
    for number in range(60):
        other = tmp_path / f"flip{number}"
        shutil.copytree(folder, other)
        at = chance.randrange(len(whole))
        (other / "state.db-wal").write_bytes(whole[:at] + bytes([whole[at] ^ (1 << chance.randrange(8))]) + whole[at + 1 :])
        await after_damage(other, acknowledged)
        lost += sqlite_rows(other / "state.db") < acknowledged
        shutil.rmtree(other)
    assert lost > 30


def sqlite_rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM log WHERE key LIKE '/k/%'").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.parametrize(
    "gone", [["state.db-shm"], ["state.db-wal"], ["state.db-wal", "state.db-shm"], ["state.db"], ["state.db", "state.db-wal"]]
)
async def test_rule_12_files_that_are_lost(killed: tuple[Path, int], tmp_path: Path, gone: list[str]):
    folder, acknowledged = killed
    shutil.copytree(folder, tmp_path / "state")
    for name in gone:
        (tmp_path / "state" / name).unlink(missing_ok=True)
    await after_damage(tmp_path / "state", acknowledged)


async def test_rule_12_revisions_grow_over_every_crash(path: Path):
    seen: list[int] = []
    for life in range(6):
        told = sorted(int(revision) for _, _, revision in killed_writer(path, 5 + life, f"life{life}-"))
        assert told[0] > max(seen, default=0)
        seen += told
    assert len(set(seen)) == len(seen)
