"""The log of changes as SQL: append, read after, read at, forget. Synchronous; called by the one thread that owns the connection."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from polong.kit import errors
from polong.store.compaction import check_readable, check_resumable
from polong.store.index import AFTER_ALL
from polong.store.interface import Event, KeyValue, Page
from polong.store.schema import CREATE, DELETE, UPDATE

Verb = Literal["create", "update", "delete"]

_KINDS: dict[Verb, int] = {"create": CREATE, "update": UPDATE, "delete": DELETE}
_VERBS: dict[int, Verb] = {kind: verb for verb, kind in _KINDS.items()}

# One transaction of compaction looks at so many changes: writers wait for no more than that.
SWEEP = 1000

_LAST = "SELECT revision, kind, value, created FROM log WHERE key = ? ORDER BY revision DESC LIMIT 1"
_APPEND = "INSERT INTO log (revision, key, kind, value, created, previous) VALUES (?, ?, ?, ?, ?, ?)"
_CURRENT = """SELECT key, value, revision, created FROM log AS l WHERE kind != 3
    AND NOT EXISTS (SELECT 1 FROM log AS n WHERE n.key = l.key AND n.revision > l.revision)"""
_AFTER = """SELECT l.kind, l.key, l.value, p.value, l.revision FROM log AS l LEFT JOIN log AS p ON p.revision = l.previous
    WHERE l.revision > ? AND l.revision <= ? AND l.key >= ? AND l.key < ? ORDER BY l.revision"""
_AT = """FROM log AS l WHERE key > :after AND key >= :prefix AND key < :end AND revision <= :revision AND kind != 3
    AND NOT EXISTS (SELECT 1 FROM log AS n WHERE n.key = l.key AND n.revision > l.revision AND n.revision <= :revision)"""


@dataclass(frozen=True)
class Write:
    """A change asked for. `expected` 0 means any revision (delete alone)."""

    verb: Verb
    key: str
    value: bytes | None = None
    expected: int = 0


class Log:
    """The counters are kept here as well as in `meta`; `rollback` reads them again."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self.revision = self.compacted = self._cleaned = 0
        self.reload()

    def reload(self) -> None:
        counters: dict[str, int] = dict(self._db.execute("SELECT name, value FROM meta"))
        self.revision, self.compacted, self._cleaned = counters["revision"], counters["compacted"], counters["cleaned"]

    def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (self.revision,))
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self.reload()

    def append(self, write: Write) -> Event:
        """AlreadyExists, Conflict or NotFound before anything is written."""
        last = self._db.execute(_LAST, (write.key,)).fetchone()
        before: tuple[int, int, bytes, int] | None = last if last is not None and last[1] != DELETE else None
        if write.verb == "create":
            if before is not None:
                raise errors.AlreadyExists(f"key {write.key} exists")
        elif before is None:
            raise errors.NotFound(f"no key {write.key}")
        elif before[0] != write.expected and (write.expected or write.verb == "update"):
            raise errors.Conflict(f"key {write.key} is at revision {before[0]}, not {write.expected}")
        revision = self.revision + 1
        created = before[3] if before is not None else revision
        previous = last[0] if last is not None else 0
        self._db.execute(_APPEND, (revision, write.key, _KINDS[write.verb], write.value, created, previous))
        self.revision = revision
        return Event(write.verb, write.key, write.value, before[2] if before is not None else None, revision)

    def jump(self, revision: int) -> None:
        """Start a new epoch at `revision`: what lay between is unknown, so watches from before it are Gone."""
        self.begin()
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (revision,))
        self.revision = self.compacted = revision
        self.commit()

    def current(self) -> list[KeyValue]:
        return [KeyValue(*row) for row in self._db.execute(_CURRENT)]

    def after(self, prefix: str, revision: int, upto: int) -> list[Event]:
        check_resumable(revision, self.compacted)
        rows = self._db.execute(_AFTER, (revision, upto, prefix, prefix + AFTER_ALL))
        return [Event(_VERBS[kind], key, value, previous, at) for kind, key, value, previous, at in rows]

    def at(self, prefix: str, revision: int, *, after: str, limit: int) -> Page:
        """The state at a past revision."""
        check_readable(revision, self.compacted, self.revision)
        bounds = {"after": after, "prefix": prefix, "end": prefix + AFTER_ALL, "revision": revision}
        select = f"SELECT key, value, revision, created {_AT} ORDER BY key LIMIT :limit"
        items = [KeyValue(*row) for row in self._db.execute(select, bounds | {"limit": limit or -1})]
        if not limit or len(items) < limit:
            return Page(items, revision)
        remaining: int = self._db.execute(f"SELECT count(*) {_AT}", bounds | {"after": items[-1].key}).fetchone()[0]
        return Page(items, revision, more=remaining > 0, remaining=remaining)

    def forget(self, revision: int) -> bool:
        """One sweep of compaction up to `revision`; True while more is left. Oldest changes first, so that a key's end never goes
        before what it ended."""
        upto = min(revision, self.revision)
        if upto <= self._cleaned:
            return False
        start, end = self._cleaned, min(upto, self._cleaned + SWEEP)
        self.begin()
        superseded = "DELETE FROM log WHERE revision IN (SELECT previous FROM log WHERE revision > ? AND revision <= ? AND previous > 0)"
        self._db.execute(superseded, (start, end))
        self._db.execute("DELETE FROM log WHERE revision > ? AND revision <= ? AND kind = 3", (start, end))
        self.compacted = max(self.compacted, upto)
        self._cleaned = end
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (self.compacted,))
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'cleaned'", (self._cleaned,))
        self.commit()
        return end < upto
