"""Copies of the state: whole, readable as a database, refused where they are anything else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from polong.kit.errors import BadRequest
from polong.store import SQLiteStorage, backup
from polong.store.backup import Backup
from polong.store.interface import KeyValue

ITEMS = [KeyValue("/pods/a/b", b"1", 7, 3), KeyValue("/pods/a/c", b"", 9, 9)]


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    backup.write(path, Backup(ITEMS, 12))
    assert path.stat().st_mode & 0o777 == 0o600
    assert backup.read(path) == Backup(ITEMS, 12)
    with pytest.raises(FileExistsError):
        backup.write(path, Backup([], 1))


async def test_it_can_stand_in_for_a_lost_database(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    backup.write(path, Backup(ITEMS, 12))
    storage = await SQLiteStorage.open(path)
    assert list((await storage.list("/")).items) == ITEMS
    assert await storage.create("/x", b"") > 12
    await storage.aclose()


async def test_a_database_is_a_backup_too(tmp_path: Path) -> None:
    storage = await SQLiteStorage.open(tmp_path / "state.db")
    await storage.create("/a", b"1")
    await storage.update("/a", b"2", 1)
    await storage.create("/b", b"1")
    await storage.delete("/b")
    await storage.aclose()
    assert backup.read(tmp_path / "state.db") == Backup([KeyValue("/a", b"2", 2, 1)], 4)


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0" + b"\xff" * 5000, b"\0" * 100_000])
def test_what_is_no_backup_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "copy"
    path.write_bytes(content)
    with pytest.raises(BadRequest, match="cannot restore: the file is no backup"):
        backup.read(path)


def test_damage_and_other_forms_are_found(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    backup.write(path, Backup([KeyValue(f"/pods/a/{n}", b"v" * 3000, n + 1, n + 1) for n in range(50)], 60))
    data = bytearray(path.read_bytes())
    data[4096 * 5 : 4096 * 9] = b"\xa5" * 4096 * 4
    (tmp_path / "damaged").write_bytes(data)
    with pytest.raises(BadRequest, match="cannot restore"):
        backup.read(tmp_path / "damaged")
    (tmp_path / "short").write_bytes(data[: 4096 * 3])
    with pytest.raises(BadRequest, match="cannot restore"):
        backup.read(tmp_path / "short")
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(BadRequest, match="form 99"):
        backup.read(path)
