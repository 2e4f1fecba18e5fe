"""The whole store, opened once a process; commands and loop take its parts."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select

from reconciler.store.applies import Applies
from reconciler.store.database import Database, open_database, open_memory_database
from reconciler.store.journal import Journal
from reconciler.store.memories import Attempts, Centers, Confirmations, History, Pauses
from reconciler.store.requests import Requests
from reconciler.store.tables import SETTINGS


def _wallclock_ms() -> int:
    return time.time_ns() // 1_000_000


class Store:
    """One open store. `id` is made with it and names this controller to agents, over any number of processes.

    `name`: the path or URL by which people know it, without password.
    """

    def __init__(self, database: Database, wallclock: Callable[[], int] = _wallclock_ms) -> None:
        self._database = database
        self.name = database.name
        self.applies = Applies(database, wallclock)
        self.journal = Journal(database, wallclock)
        self.attempts = Attempts(database, wallclock)
        self.confirmations = Confirmations(database, wallclock)
        self.pauses = Pauses(database, wallclock)
        self.centers = Centers(database)
        self.history = History(database, wallclock)
        self.requests = Requests(database, wallclock)
        with database.reading() as connection:
            self.id = str(connection.scalar(select(SETTINGS.c.value).where(SETTINGS.c.name == "id")))

    @contextmanager
    def exclusive(self, command: str = "ostler apply") -> Iterator[None]:
        """The right to apply plans with this store. Raises StoreHeldError, which names the other's command, while
        another process has it."""
        with self._database.exclusive(command):
            yield

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def open_store(place: str | Path, wallclock: Callable[[], int] = _wallclock_ms) -> Store:
    """The store at a path (SQLite, mode 0600) or PostgreSQL URL, made where there is none. Raises StoreError."""
    return Store(open_database(place), wallclock)


def open_memory_store(wallclock: Callable[[], int] = _wallclock_ms) -> Store:
    """A store that is forgotten with the process."""
    return Store(open_memory_database(), wallclock)
