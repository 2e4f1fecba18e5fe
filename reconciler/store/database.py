"""The database under the store: opened with durable commits, private, of this version; faults told as StoreError.

A path means SQLite in that file; a URL whatever SQLAlchemy can reach with it (PostgreSQL).
"""

import fcntl
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from reconciler.store.tables import MIGRATIONS, OLDEST, SETTINGS, VERSION, create_tables

BUSY_MS = 5_000
_ADVISORY_LOCK = 0x6F73746C


class StoreError(Exception):
    """The store cannot be read or written; the message says what to do."""


class StoreHeldError(StoreError):
    """Another process is applying plans with this store."""


class Database:
    """One open database. `path` is None unless it is an SQLite file."""

    def __init__(self, engine: Engine, path: Path | None) -> None:
        self._engine = engine
        self.path = path
        self._inode = path.stat().st_ino if path else 0

    @property
    def name(self) -> str:
        """What people know it by, without password."""
        return str(self.path) if self.path else self._engine.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable when the block has ended without an error. Raises StoreError."""
        with self._failing():
            if self.path and self.path.stat().st_ino != self._inode:
                raise StoreError(f"{self.path} was replaced while in use; start the command again")
            with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises StoreError."""
        with self._failing(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def exclusive(self, command: str = "ostler apply") -> Iterator[None]:
        """The right to apply plans with this store; it ends with the process. Raises StoreHeldError."""
        with ExitStack() as held:
            with self._failing():
                if self.path:
                    held.enter_context(_locked_file(Path(f"{self.path}.lock"), self.name, command))
                elif self._engine.dialect.name == "postgresql":
                    connection = held.enter_context(self._engine.connect())
                    if not connection.scalar(text(f"SELECT pg_try_advisory_lock({_ADVISORY_LOCK})")):
                        raise StoreHeldError(_held(self.name))
            yield

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            raise StoreError(f"{self.name}: {advice_for(error)}") from error


@contextmanager
def _locked_file(path: Path, name: str, command: str) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 200).decode("utf-8", "replace")
        os.close(descriptor)
        raise StoreHeldError(_held(name, holder)) from error
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"`{command}` (process {os.getpid()})".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _held(name: str, holder: str = "") -> str:
    if "ostler run" in holder:
        return f"{name}: {holder} applies plans with this store; leave the work to it, or stop it first"
    who = holder or "another process"
    return f"{name}: {who} applies plans with this store; wait for its end, or end it with `ostler cancel`"


def advice_for(error: Exception) -> str:
    """What is wrong with a database, and what to do; never its parameters."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    fault = str(cause).strip().partition("\n")[0]
    if isinstance(cause, OSError):
        fault = cause.strerror or fault
    lower = fault.lower()
    for pattern, advice in (
        ("full", "free space on that file system, then start again"),
        ("no space", "free space on that file system, then start again"),
        ("readonly", "make file and directory writable, or name another with --store"),
        ("read-only", "make file and directory writable, or name another with --store"),
        ("permission", "run as the user that owns it, or name another with --store"),
        (
            "unable to open",
            "check that its directory exists and may be written, or name another with --store",
        ),
        ("no such file", "check that its directory exists, or name another with --store"),
        ("locked", "another process is writing it; wait for its end"),
        ("not a database", "this file is no store; name another with --store"),
        ("malformed", "it is damaged: move it away; what runs is not harmed, and history begins anew"),
    ):
        if pattern in lower:
            return f"{fault}; {advice}"
    return f"{fault}; check the database, or name another with --store"


def open_database(place: str | Path) -> Database:
    """The database at a path or URL, made or brought to this version where needed. Raises StoreError."""
    url = str(place)
    try:
        if "://" not in url:
            return _prepared(*_open_file(Path(url)))
        return _prepared(_open_url(url), None)
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise StoreError(f"{_without_password(url)}: {advice_for(error)}") from error


def open_memory_database() -> Database:
    """A database that ends with the process: for simulated applies, which have nothing to lose."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    _listen(engine)
    return _prepared(engine, None)


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url


def _open_file(path: Path) -> tuple[Engine, Path]:
    """An engine on an SQLite file of mode 0600; the directory must exist."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    engine = create_engine(
        f"sqlite:///{path.resolve()}", pool_size=1, connect_args={"timeout": BUSY_MS / 1000}
    )
    _listen(engine)
    return engine, path


def _open_url(url: str) -> Engine:
    try:
        engine = create_engine(url, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(
            f"{_without_password(url)}: {error}; say a path, or a URL such as postgresql://…"
        ) from error
    if engine.dialect.name not in ("sqlite", "postgresql"):
        raise StoreError(f"{_without_password(url)}: only SQLite and PostgreSQL hold a store")
    if engine.dialect.name == "sqlite":
        raise StoreError(f"{url}: name an SQLite store by its path, without sqlite://")
    return engine


def _listen(engine: Engine) -> None:
    """SQLite with durable commits, and transactions begun by us: its driver would begin them too late."""

    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


def _prepared(engine: Engine, path: Path | None) -> Database:
    database = Database(engine, path)
    try:
        _migrate(database)
    except BaseException:
        engine.dispose()
        raise
    return database


def _migrate(database: Database) -> None:
    """Bring the database to this version in one transaction. Raises StoreError for one that is not ours."""
    with database.reading() as connection:
        version = _version(connection, database.name)
    if version == VERSION:
        return
    with database.writing() as connection:
        version = _version(connection, database.name)  # another process may have been quicker
        if version == 0:
            create_tables(connection)
        for migration in MIGRATIONS[version - OLDEST :] if version else ():
            migration(connection)
        _identify(connection)
        _set(connection, "version", str(VERSION))


def _identify(connection: Connection) -> None:
    """The store's identity, made once: leases name by it who may order the hosts."""
    if not connection.scalar(select(SETTINGS.c.value).where(SETTINGS.c.name == "id")):
        _set(connection, "id", str(uuid.uuid4()))


def _version(connection: Connection, name: str) -> int:
    tables = inspect(connection).get_table_names()
    if SETTINGS.name not in tables:
        if tables:
            raise StoreError(f"{name}: holds something else ({tables[0]}); name another place with --store")
        return 0
    found = connection.scalar(select(SETTINGS.c.value).where(SETTINGS.c.name == "version"))
    version = int(found) if found and found.isdecimal() else -1
    if 0 < version < OLDEST:
        raise StoreError(
            f"{name}: has version {found}, and this ostler reads {OLDEST} and later; move it away: what runs is not "
            "harmed, history begins anew, and what was paused or confirmed must be said again"
        )
    if not OLDEST <= version <= VERSION:
        raise StoreError(
            f"{name}: has version {found} and this ostler knows {VERSION}; use the newer ostler, or another --store"
        )
    return version


def _set(connection: Connection, name: str, value: str) -> None:
    connection.execute(SETTINGS.delete().where(SETTINGS.c.name == name))
    connection.execute(SETTINGS.insert().values(name=name, value=value))
