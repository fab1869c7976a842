"""The database's shape: numbered migrations, applied in one transaction, after a copy of an older database.

log    one row a change: the newest row of a key is its state, a row of kind DELETE its end.
       `created` is the revision of the key's creation, `previous` that of its row before (0 for none).
meta   counters: revision (newest), compacted (history before it is incomplete), cleaned (how far compaction has swept).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from polong.kit import errors

CREATE, UPDATE, DELETE = 1, 2, 3

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE log (
            revision INTEGER PRIMARY KEY,
            key TEXT NOT NULL,
            kind INTEGER NOT NULL,
            value BLOB,
            created INTEGER NOT NULL,
            previous INTEGER NOT NULL
        ) STRICT""",
        "CREATE UNIQUE INDEX log_key ON log (key, revision)",
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        "INSERT INTO meta VALUES ('revision', 0), ('compacted', 0), ('cleaned', 0)",
    ),
)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the database to this version. FailedPrecondition where a newer Polong wrote it."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    known = len(MIGRATIONS)
    if found > known:
        raise errors.FailedPrecondition(
            f"cannot open {path}: its format {found} is newer than this version knows ({known}); use the Polong that wrote it"
        )
    if found == known:
        return
    if found > 0:
        copy = path.with_name(f"{path.name}.v{found}")
        copy.unlink(missing_ok=True)
        connection.execute("VACUUM INTO ?", (str(copy),))
        copy.chmod(0o600)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for steps in MIGRATIONS[found:]:
            for statement in steps:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {known}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
