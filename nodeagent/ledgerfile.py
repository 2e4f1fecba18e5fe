"""Opens the ledger's SQLite file durably and alone, and moves a damaged one aside. Called by `ledger`."""

import logging
import sqlite3
from pathlib import Path

LOCKED_AFTER_S = 2.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    object TEXT NOT NULL,
    body BLOB,
    result BLOB NOT NULL,
    notes BLOB NOT NULL DEFAULT '{}',
    state TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    boottime_ms INTEGER NOT NULL,
    wallclock_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS orders_by_object ON orders (object, sequence);
CREATE INDEX IF NOT EXISTS orders_by_state ON orders (state);
"""

_log = logging.getLogger(__name__)


def open_ledger_file(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode; every commit is synchronised, and no other process may open the file.

    A file that is no readable ledger is renamed to `….damaged` and a new one begun, which then asks for a resync.
    Raises sqlite3.Error, and OSError.
    """
    try:
        return _open(path)
    except sqlite3.OperationalError:
        raise  # in use by another process, no space, no permission: the ledger itself may be whole
    except sqlite3.DatabaseError as error:
        _log.error("the ledger is damaged and was moved aside: %s", error)
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.replace(path.with_name(f"{path.name}.damaged{suffix}"))
        return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    database = sqlite3.connect(path, timeout=LOCKED_AFTER_S, isolation_level=None, check_same_thread=False)
    try:
        # Exclusive locking keeps the write-ahead index in memory: no -shm file, and no second agent on this ledger.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN EXCLUSIVE")
        database.execute("COMMIT")
        verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database
