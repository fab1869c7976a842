"""The thread that owns the connection: takes what waits, commits it as one transaction, and hands the outcomes back."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import queue
import sqlite3
import threading
from asyncio import Future
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from polong.kit import errors
from polong.store.ballast import Ballast
from polong.store.highwater import HighWater, boot_id
from polong.store.interface import Event
from polong.store.log import Log, Write
from polong.store.schema import migrate

Job = tuple[Write | Callable[[], Any], "Future[Any]"]
Outcome = tuple["Future[Any]", Any]
"""The future and its Event, value or exception."""

MAX_BATCH = 256
WAL_LIMIT = 8 * 1024 * 1024
# As etcd's quota: a database beyond it is a fault that wants a human.
MAX_BYTES = 8 * 1024**3
PAGE = 4096

_PRAGMAS = (
    # Without shared memory: no other process may look in, so none can hold up a checkpoint or corrupt the index of the WAL.
    "locking_mode = EXCLUSIVE",
    f"page_size = {PAGE}",
    "journal_mode = WAL",
    "synchronous = FULL",
    "busy_timeout = 5000",
    "mmap_size = 0",
    "wal_autocheckpoint = 0",
    f"journal_size_limit = {WAL_LIMIT}",
    f"max_page_count = {MAX_BYTES // PAGE}",
    "temp_store = MEMORY",
    "trusted_schema = OFF",
)

_log = logging.getLogger(__name__)


class Writer:
    """Opening takes the lock, checks and migrates; `start` runs the thread. `put` never blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with contextlib.ExitStack() as undo:
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                undo.callback(os.close, self._lock())
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                undo.callback(self._db.close)
                self._prepare()
                self.log = Log(self._db)
                self._mark = HighWater(path.with_name(path.name + ".revision"), boot_id())
                release = undo.enter_context(contextlib.ExitStack())
                release.callback(self._mark.abandon)
                if jump := self._mark.settle(self.log.revision):
                    self.log.jump(jump)
                release.pop_all()
            except (sqlite3.Error, OSError) as error:
                raise self._explain(error, "open") from error
            self._undo = undo.pop_all()
        self._ballast = Ballast(path.with_name(path.name + ".ballast"))
        self._full = not self._ballast.hold()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="storage", daemon=True)
        self._deliver: Callable[[Sequence[Outcome]], None] = lambda outcomes: None

    def start(self, deliver: Callable[[Sequence[Outcome]], None]) -> None:
        """`deliver` is called in the thread, once for each batch, after its commit."""
        self._deliver = deliver
        self._thread.start()

    def put(self, job: Job) -> None:
        self._queue.put(job)

    def close(self) -> None:
        """Finish what was put before, cut the WAL, release the lock. Blocks."""
        self._queue.put(None)
        self._thread.join()
        self._checkpoint()
        try:
            self._mark.close(self.log.revision)
        except OSError as error:
            _log.warning("cannot note the clean stop of %s: %s", self._path, error)
        self._undo.close()

    def abandon(self) -> None:
        self._mark.abandon()
        self._undo.close()

    def _lock(self) -> int:
        path = self._path.with_name(self._path.name + ".lock")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise errors.FailedPrecondition(
                f"cannot open {self._path}: process {holder or 'unknown'} has it open; stop that one first"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return fd

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise errors.FailedPrecondition(
                f"cannot open {self._path}: it is damaged ({found}); put a copy in its place, or move it away to start empty"
            )
        migrate(self._db, self._path)

    def _run(self) -> None:
        running = True
        while running:
            batch: list[Job] = []
            job = self._queue.get()
            while job is not None:
                batch.append(job)
                if len(batch) == MAX_BATCH:
                    break
                try:
                    job = self._queue.get_nowait()
                except queue.Empty:
                    break
            running = job is not None
            if batch:
                self._deliver(self._do(batch))
                self._bound_wal()

    def _do(self, batch: Sequence[Job]) -> list[Outcome]:
        """Writes first, as one transaction; then reads, which thus see at least what was there when they were asked."""
        writes = [(job, future) for job, future in batch if isinstance(job, Write)]
        outcomes: list[Outcome] = self._commit(writes) if writes else []
        for job, future in batch:
            if not isinstance(job, Write):
                outcomes.append((future, self._call(job)))
        return outcomes

    def _call(self, job: Callable[[], object]) -> object:
        try:
            return job()
        except errors.PolongError as error:
            return error
        except (sqlite3.Error, OSError) as error:
            self.log.rollback()
            return self._explain(error, "read")

    def _commit(self, writes: Sequence[tuple[Write, Future[Any]]]) -> list[Outcome]:
        if self._full:
            self._full = not self._ballast.hold()
        try:
            return self._transaction(writes)
        except (sqlite3.Error, OSError) as error:
            self._recover()
            failure = self._explain(error, "write to")
            if not _is_full(error) or self._full:
                return [(future, failure) for _, future in writes]
        # The first time that the disk is full: what deletes and settles may use the room kept for it; what adds may not.
        self._full = True
        self._ballast.release()
        _log.error("%s", failure)
        try:
            return self._transaction(writes)
        except (sqlite3.Error, OSError) as error:
            self._recover()
            return [(future, self._explain(error, "write to")) for _, future in writes]

    def _transaction(self, writes: Sequence[tuple[Write, Future[Any]]]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        self._mark.reserve(self.log.revision + len(writes))
        self.log.begin()
        for write, future in writes:
            try:
                if self._full and write.verb == "create":
                    raise self._no_space()
                outcomes.append((future, self.log.append(write)))
            except errors.PolongError as error:
                outcomes.append((future, error))
        if any(isinstance(result, Event) for _, result in outcomes):
            self.log.commit()
            self._mark.note(self.log.revision)
        else:
            self.log.rollback()
        return outcomes

    def _recover(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.log.rollback()

    def _bound_wal(self) -> None:
        with contextlib.suppress(OSError):
            if self._path.with_name(self._path.name + "-wal").stat().st_size > WAL_LIMIT // 2:
                self._checkpoint()

    def _checkpoint(self) -> None:
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            _log.warning("cannot checkpoint %s: %s", self._path, error)

    def _no_space(self) -> errors.Unavailable:
        return errors.Unavailable(f"cannot write to {self._path}: no space left on its disk; free some, then try again")

    def _explain(self, error: Exception, doing: str) -> errors.PolongError:
        if isinstance(error, errors.PolongError):
            return error
        if _is_full(error):
            return self._no_space()
        if isinstance(error, sqlite3.DatabaseError) and getattr(error, "sqlite_errorcode", 0) in (
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_NOTADB,
        ):
            return errors.FailedPrecondition(
                f"cannot {doing} {self._path}: it is damaged ({error}); put a copy in its place, or move it away to start empty"
            )
        return errors.Unavailable(f"cannot {doing} {self._path}: {error}")


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (28, 122)  # ENOSPC, EDQUOT
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
