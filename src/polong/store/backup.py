"""A copy of the state at one revision: a database of the store's own form, without history. Synchronous; run it in a thread.

It is made from values in memory, so that writers wait for nothing, and can also stand in for a lost database while no node runs.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from polong.kit import errors
from polong.store.interface import KeyValue
from polong.store.log import Log
from polong.store.schema import CREATE, MIGRATIONS, migrate

_PRAGMAS = ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0")


@dataclass(frozen=True)
class Backup:
    items: Sequence[KeyValue]
    revision: int


def write(path: Path, backup: Backup) -> None:
    """Make the file (mode 0600), durable when this returns. OSError; sqlite3.Error."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = FULL")
        migrate(db, path)
        db.execute("BEGIN")
        rows = ((item.revision, item.key, CREATE, item.value, item.created) for item in backup.items)
        db.executemany("INSERT INTO log (revision, key, kind, value, created, previous) VALUES (?, ?, ?, ?, ?, 0)", rows)
        db.execute("UPDATE meta SET value = ?", (backup.revision,))
        db.execute("COMMIT")


def read(path: Path) -> Backup:
    """BadRequest for what is no whole copy of a state."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True, isolation_level=None)) as db:
            for pragma in _PRAGMAS:
                db.execute(f"PRAGMA {pragma}").fetchall()
            version: int = db.execute("PRAGMA user_version").fetchone()[0]
            if not 0 < version <= len(MIGRATIONS):
                raise errors.BadRequest(f"cannot restore: the file is no backup of a form that this version knows (form {version})")
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise errors.BadRequest(f"cannot restore: the backup is damaged ({found})")
            log = Log(db)
            items = log.current()
            return Backup(items, log.revision)
    except (sqlite3.Error, KeyError, TypeError, UnicodeDecodeError) as error:
        raise errors.BadRequest(f"cannot restore: the file is no backup ({error})") from None
