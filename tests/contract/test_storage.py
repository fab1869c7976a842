"""What every Storage promises, over each implementation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from polong.kit import errors
from polong.store import Event, MemoryStorage, SQLiteStorage, Storage, Watch


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    made: Storage = MemoryStorage() if request.param == "memory" else await SQLiteStorage.open(tmp_path / "state.db")
    yield made
    await made.aclose()


async def take(watch: Watch, count: int) -> list[Event]:
    async with asyncio.timeout(5):
        return [await anext(watch) for _ in range(count)]


async def test_empty(storage: Storage):
    assert await storage.get("/a") is None
    page = await storage.list("/")
    assert (list(page.items), page.revision, page.more) == ([], 0, False)


async def test_create_get_update_delete(storage: Storage):
    first = await storage.create("/a", b"1")
    found = await storage.get("/a")
    assert (found.key, found.value, found.revision, found.created) == ("/a", b"1", first, first)
    second = await storage.update("/a", b"2", first)
    assert second > first
    found = await storage.get("/a")
    assert (found.value, found.revision, found.created) == (b"2", second, first)
    third = await storage.delete("/a", second)
    assert third > second
    assert await storage.get("/a") is None
    assert await storage.revision() == third
    fourth = await storage.create("/a", b"new")
    assert (await storage.get("/a")).created == fourth


async def test_refusals_change_nothing(storage: Storage):
    revision = await storage.create("/a", b"1")
    with pytest.raises(errors.AlreadyExists):
        await storage.create("/a", b"2")
    for expected in (revision + 1, 0):
        with pytest.raises(errors.Conflict):
            await storage.update("/a", b"2", expected)
    with pytest.raises(errors.NotFound):
        await storage.update("/b", b"2", 1)
    with pytest.raises(errors.Conflict):
        await storage.delete("/a", revision + 1)
    with pytest.raises(errors.NotFound):
        await storage.delete("/b")
    assert await storage.revision() == revision
    assert (await storage.get("/a")).value == b"1"
    assert await storage.delete("/a") == revision + 1


async def test_one_of_many_updates_wins(storage: Storage):
    revision = await storage.create("/a", b"0")
    results = await asyncio.gather(*(storage.update("/a", b"%d" % n, revision) for n in range(20)), return_exceptions=True)
    assert sum(isinstance(result, int) for result in results) == 1
    assert sum(isinstance(result, errors.Conflict) for result in results) == 19


async def test_list_is_ordered_and_bound_to_its_prefix(storage: Storage):
    for key in ("/pods/b/2", "/pods/a/1", "/pods/a/2", "/podsx/1", "/nodes/n"):
        await storage.create(key, key.encode())
    assert [item.key for item in (await storage.list("/pods/")).items] == ["/pods/a/1", "/pods/a/2", "/pods/b/2"]
    assert [item.key for item in (await storage.list("/pods/a/")).items] == ["/pods/a/1", "/pods/a/2"]
    assert [item.value for item in (await storage.list("/nodes/")).items] == [b"/nodes/n"]


async def test_pages_of_one_revision(storage: Storage):
    for number in range(7):
        await storage.create(f"/p/{number}", b"old")
    page = await storage.list("/p/", limit=3)
    assert ([item.key for item in page.items], page.more, page.remaining) == (["/p/0", "/p/1", "/p/2"], True, 4)
    await storage.create("/p/55", b"later")
    await storage.delete("/p/4")
    await storage.update("/p/6", b"new", 7)
    rest = await storage.list("/p/", limit=3, after="/p/2", revision=page.revision)
    assert ([item.key for item in rest.items], rest.more, rest.remaining) == (["/p/3", "/p/4", "/p/5"], True, 1)
    last = await storage.list("/p/", limit=3, after="/p/5", revision=page.revision)
    assert ([(item.key, item.value) for item in last.items], last.more) == ([("/p/6", b"old")], False)
    assert last.revision == page.revision
    assert [item.key for item in (await storage.list("/p/", after="/p/5")).items] == ["/p/55", "/p/6"]


async def test_list_in_the_future_is_refused(storage: Storage):
    with pytest.raises(errors.BadRequest):
        await storage.list("/", revision=99)


async def test_watch_replays_then_follows(storage: Storage):
    start = await storage.create("/a/1", b"1")
    await storage.update("/a/1", b"2", start)
    await storage.create("/b/1", b"other")
    watch = storage.watch("/a/", start)
    await storage.delete("/a/1")
    await storage.create("/a/1", b"3")
    events = await take(watch, 3)
    assert [(e.type, e.value, e.previous) for e in events] == [
        ("update", b"2", b"1"),
        ("delete", None, b"2"),
        ("create", b"3", None),
    ]
    assert [e.revision for e in events] == [2, 4, 5]
    waiting = asyncio.ensure_future(anext(watch))  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    revision = await storage.update("/a/1", b"4", 5)
    assert (await asyncio.wait_for(waiting, 5)).revision == revision
    await watch.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_watch_has_neither_gaps_nor_duplicates_while_writers_write(storage: Storage):
    async def write(name: str) -> None:
        revision = await storage.create(f"/w/{name}", b"")
        for number in range(50):
            revision = await storage.update(f"/w/{name}", b"%d" % number, revision)

    async def follow(delay: int) -> list[int]:
        for _ in range(delay):
            await asyncio.sleep(0)
        async with aclosing(storage.watch("/w/", 0)) as watch:
            return [event.revision for event in await take(watch, 4 * 51)]

    writers = [write(str(number)) for number in range(4)]
    results = await asyncio.gather(*writers, *(follow(delay * 20) for delay in range(10)))
    for revisions in results[4:]:
        assert revisions == list(range(1, 4 * 51 + 1))


async def test_slow_reader_is_told_that_it_is_gone(storage: Storage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polong.store.broadcaster.MAX_EVENTS", 10)
    slow = storage.watch("/", 0)
    for number in range(12):
        await storage.create(f"/{number}", b"")
    with pytest.raises(errors.Gone):
        await take(slow, 12)


async def test_slow_reader_is_bound_in_bytes(storage: Storage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polong.store.broadcaster.MAX_BYTES", 1000)
    slow = storage.watch("/", 0)
    await storage.create("/1", b"x" * 1001)
    with pytest.raises(errors.Gone):
        await take(slow, 1)


async def test_compaction(storage: Storage):
    first = await storage.create("/a", b"1")
    second = await storage.update("/a", b"2", first)
    gone = await storage.create("/gone", b"x")
    await storage.delete("/gone", gone)
    third = await storage.update("/a", b"3", second)
    last = await storage.create("/b", b"1")
    await storage.compact(third)
    with pytest.raises(errors.Gone):
        await take(storage.watch("/", second), 1)
    with pytest.raises(errors.Gone):
        await storage.list("/", revision=second)
    assert [event.revision for event in await take(storage.watch("/", third), 1)] == [last]
    assert [(i.key, i.value) for i in (await storage.list("/", revision=third)).items] == [("/a", b"3")]
    assert [(i.key, i.created) for i in (await storage.list("/")).items] == [("/a", first), ("/b", last)]
    fourth = await storage.update("/a", b"4", third)
    assert [(e.revision, e.previous) for e in await take(storage.watch("/a", third), 1)] == [(fourth, b"3")]
    await storage.compact(first)  # older than what is compacted: nothing
    await storage.compact(10**6)
    assert [(i.key, i.value) for i in (await storage.list("/")).items] == [("/a", b"4"), ("/b", b"1")]
    assert await storage.revision() == fourth


async def test_close_ends_watches_and_refuses_writes(storage: Storage):
    watch = storage.watch("/", 0)
    waiting = asyncio.ensure_future(anext(watch))  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    await storage.aclose()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 5)
    with pytest.raises(errors.Unavailable):
        await storage.create("/a", b"")
    await storage.aclose()
