from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from polong.cri.records.disk import RecordDir, Unreadable, frame, unframe
from polong.cri.records.sandbox import SandboxRecord

ONE, TWO = "1" * 64, "2" * 64


def record(record_id: str = ONE, **fields: object) -> SandboxRecord:
    return SandboxRecord(id=record_id, config=b"\x00\xffconfig", **fields)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    records = RecordDir(tmp_path / "r", SandboxRecord)
    records.save(ONE, record(ips=["10.0.0.1"]))
    records.save(ONE, record(ips=["10.0.0.2"]))
    good, bad = RecordDir(tmp_path / "r", SandboxRecord).load()
    assert good == {ONE: record(ips=["10.0.0.2"])}
    assert bad == []
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "r" / f"{ONE}.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\0" * 300,
        b"polong-record 1",
        b"polong-record 2 0000000000000000\n{}\n",
        b"polong-record 1 0000000000000000\n{}\n",
        frame(b'"a string"'),
        frame(b'{"id": 5, "config": ""}'),
        frame(b"{}"),
        frame(b"not json"),
        frame(b'{"id": "%s", "config": ""}' % TWO.encode()),
    ],
)
def test_a_bad_record_is_put_aside_and_the_others_load(tmp_path: Path, damage: bytes) -> None:
    records = RecordDir(tmp_path, SandboxRecord)
    records.save(ONE, record())
    records.save(TWO, record(TWO))
    (tmp_path / f"{ONE}.json").write_bytes(damage)
    good, bad = records.load()
    assert list(good) == [TWO]
    assert bad == [ONE]
    assert (tmp_path / f"{ONE}.bad").read_bytes() == damage
    assert records.load() == (good, [])


def test_every_cut_and_every_flipped_byte_is_noticed() -> None:
    data = frame(b'{"id": "x", "config": "AA=="}')
    for length in range(len(data) - 1):
        with pytest.raises(Unreadable):
            unframe(data[:length])
    for position in range(len(data) - 1):
        with pytest.raises(Unreadable):
            unframe(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])


def test_a_half_written_file_is_nothing(tmp_path: Path) -> None:
    records = RecordDir(tmp_path, SandboxRecord)
    (tmp_path / f"{ONE}.tmp").write_bytes(b"polong-rec")
    assert records.load() == ({}, [])
    assert list(tmp_path.iterdir()) == []


def test_delete_is_idempotent(tmp_path: Path) -> None:
    records = RecordDir(tmp_path, SandboxRecord)
    records.save(ONE, record())
    records.delete(ONE)
    records.delete(ONE)
    assert records.ids() == set()


async def test_flush_in_batches_also_of_what_is_gone_again(tmp_path: Path) -> None:
    records = RecordDir(tmp_path, SandboxRecord)
    records.save(ONE, record())
    records.save(TWO, record(TWO))
    (tmp_path / f"{TWO}.json").unlink()
    flushed = asyncio.Event()
    sync = records._sync

    def watched(ids: set[str]) -> None:
        sync(ids)
        loop.call_soon_threadsafe(flushed.set)

    loop = asyncio.get_running_loop()
    records._sync = watched
    async with asyncio.TaskGroup() as group:
        flusher = group.create_task(records.keep_flushing(0))
        await flushed.wait()
        flusher.cancel()
    await records.flush()
    assert records.ids() == {ONE}
