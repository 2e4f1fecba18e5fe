"""The durable memory of the agent: orders by key with their first result, revocations, and a few facts of its own.

One SQLite file, synchronised at every commit, so that it survives a crash at any moment. A reserve file keeps
room on the disk for the results of orders already taken. Secrets never come here.
"""

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any

from nodeagent.clock import boottime_ms, wallclock_ms
from nodeagent.durable import sync_directory
from nodeagent.ledgerfile import open_ledger_file
from nodeagent.wire.codec import decode, encode
from nodeagent.wire.facts import OrderFacts
from nodeagent.wire.orders import Order, OrderResult

RESERVE_BYTES = 1024 * 1024
KEEP_MS = 7 * 24 * 3600 * 1000
KEEP_RESULTS = 10_000
PRUNE_EVERY = 256
LONGEST_DEADLINE_MS = 24 * 3600 * 1000

_OPEN = ("accepted", "running")


class LedgerError(Exception):
    """The ledger could not be read or made durable; nothing may be begun on its account."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key in the ledger. order is None for a key that was revoked before it arrived."""

    key: str
    digest: str
    order: Order | None
    result: OrderResult
    notes: dict[str, Any]

    @property
    def open(self) -> bool:
        """Whether its order was taken and has no result yet."""
        return self.result.state in _OPEN


class Ledger:
    """Safe to use from several threads. `id` is made with the file;"""

    def __init__(
        self,
        directory: Path,
        boot_id: str,
        boottime: Callable[[], int] = boottime_ms,
        wallclock: Callable[[], int] = wallclock_ms,
    ) -> None:
        self._directory = directory
        self._boot_id = boot_id
        self._boottime = boottime
        self._wallclock = wallclock
        self._lock = RLock()
        self._facts: tuple[OrderFacts, ...] | None = None
        self._accepted = 0
        with self._failing():
            self._database = open_ledger_file(self._path)
            self._inode = self._path.stat().st_ino
            self._keep_reserve()
            sync_directory(directory)
            self.id = self._identify()

    @property
    def _path(self) -> Path:
        return self._directory / "ledger.db"

    @property
    def _reserve(self) -> Path:
        return self._directory / "ledger.reserve"

    def close(self) -> None:
        """Close the file; further calls fail."""
        self._database.close()

    def accept(self, order: Order) -> None:
        """Record that `order` was taken, before anything is done for it. Raises LedgerError if not durable.

        The caller has made sure that the key is not known yet.
        """
        with self._writing() as database:
            self._refuse_removed_file()
            self._keep_reserve()
            database.execute(
                "INSERT INTO orders (key, digest, object, body, result, state, boot_id, boottime_ms, wallclock_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    order.key,
                    order.digest,
                    order.object,
                    encode(replace(order, secrets={})),
                    encode(OrderResult(order.key, "accepted")),
                    "accepted",
                    *self._now(),
                ),
            )
        self._accepted += 1
        if self._accepted % PRUNE_EVERY == 0:
            self.prune()

    def finish(self, result: OrderResult) -> None:
        """Record an order's first result, with the help of the reserve if the disk is full. Raises LedgerError."""
        self._write_essential(
            "UPDATE orders SET result = ?, state = ?, boot_id = ?, boottime_ms = ?, wallclock_ms = ? WHERE key = ?",
            (encode(replace(result, progress=None)), result.state, *self._now(), result.key),
        )

    def note(self, key: str, name: str, value: Any) -> None:
        """Keep a fact beside an open order. Raises LedgerError if not durable."""
        notes = {**self.notes(key), name: value}
        self._write_essential("UPDATE orders SET notes = ? WHERE key = ?", (encode(notes), key))

    def notes(self, key: str) -> dict[str, Any]:
        """What `note` has kept for an order."""
        entry = self.find(key)
        return dict(entry.notes) if entry else {}

    def revoke(self, key: str, summary: str) -> None:
        """Record that `key` never takes effect from now on, whether it was seen or not. Raises LedgerError.

        The caller has made sure that its order has no success or failure to keep, and does not run.
        """
        result = encode(OrderResult(key, "revoked", summary))
        self._write_essential(
            "INSERT INTO orders (key, digest, object, body, result, state, boot_id, boottime_ms, wallclock_ms)"
            " VALUES (?, '', '', NULL, ?, 'revoked', ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET result = excluded.result, state = excluded.state,"
            " boot_id = excluded.boot_id, boottime_ms = excluded.boottime_ms, wallclock_ms = excluded.wallclock_ms",
            (key, result, *self._now()),
        )

    def find(self, key: str) -> Entry | None:
        """The entry of a key, None if it was never seen (or is long past). Raises LedgerError."""
        with self._lock, self._failing():
            row = self._database.execute(f"{_SELECT} WHERE key = ?", (key,)).fetchone()
        return _entry(row) if row else None

    def open_entries(self) -> tuple[Entry, ...]:
        """Orders taken that have no result, oldest first: after a restart they must be settled."""
        with self._lock, self._failing():
            rows = self._database.execute(
                f"{_SELECT} WHERE state IN (?, ?) ORDER BY sequence", _OPEN
            ).fetchall()
        return tuple(_entry(row) for row in rows)

    def order_facts(self) -> tuple[OrderFacts, ...]:
        """Every open order and every object's last one, by object and age."""
        with self._lock:
            if self._facts is None:
                with self._failing():
                    rows = self._database.execute(
                        f"{_SELECT} {_LASTING} ORDER BY object, sequence"
                    ).fetchall()
                self._facts = tuple(_facts(_entry(row)) for row in rows)
            return self._facts

    def prune(self) -> int:
        """Forget results that nobody can ask for any more; returns how many.

        Kept: open orders, the last of each object, and what is younger than KEEP_MS and among the last KEEP_RESULTS.
        Of the present boot also whatever is younger than a day: its deadline may not have passed, and a key
        forgotten too early could be taken twice.
        """
        with self._writing() as database:
            return database.execute(
                _PRUNE,
                (
                    self._wallclock() - KEEP_MS,
                    KEEP_RESULTS,
                    self._boot_id,
                    self._boottime() - LONGEST_DEADLINE_MS,
                ),
            ).rowcount

    def fact(self, name: str, default: str = "") -> str:
        """A durable fact of the agent itself, such as the highest epoch. Raises LedgerError."""
        with self._lock, self._failing():
            row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else default

    def keep_facts(self, facts: dict[str, str]) -> None:
        """Make facts of the agent itself durable, all or none. Raises LedgerError."""
        with self._writing() as database:
            self._refuse_removed_file()
            database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", sorted(facts.items()))

    def _now(self) -> tuple[str, int, int]:
        return self._boot_id, self._boottime(), self._wallclock()

    def _identify(self) -> str:
        known = self.fact("ledger_id")
        if not known:
            known = str(uuid.uuid4())
            self.keep_facts({"ledger_id": known})
        return known

    def _write_essential(self, statement: str, parameters: tuple[Any, ...]) -> None:
        """Write what belongs to an order already taken: gives up the reserve rather than the result."""
        try:
            self._write(statement, parameters)
        except LedgerError:
            self._reserve.unlink(missing_ok=True)
            self._write(statement, parameters)

    def _write(self, statement: str, parameters: tuple[Any, ...]) -> None:
        with self._writing() as database:
            database.execute(statement, parameters)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is durable when the block has ended. Raises LedgerError and rolls back."""
        with self._lock, self._failing():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                self._facts = None

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(f"{self._path}: {error}") from error

    def _refuse_removed_file(self) -> None:
        if self._path.stat().st_ino != self._inode:
            raise LedgerError(f"{self._path} was replaced while in use; restart ostler-agent")

    def _keep_reserve(self) -> None:
        """Make sure that room for results is set aside. Raises OSError if the disk has none."""
        descriptor = os.open(self._reserve, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_blocks * 512 < RESERVE_BYTES:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        finally:
            os.close(descriptor)


_SELECT = "SELECT key, digest, body, result, notes FROM orders"
_LASTING = (
    "WHERE body IS NOT NULL AND (state IN ('accepted', 'running') OR sequence IN"
    " (SELECT max(sequence) FROM orders WHERE body IS NOT NULL GROUP BY object))"
)
_PRUNE = (
    "DELETE FROM orders WHERE state NOT IN ('accepted', 'running')"
    " AND sequence NOT IN (SELECT max(sequence) FROM orders WHERE body IS NOT NULL GROUP BY object)"
    " AND (wallclock_ms < ? OR sequence <= (SELECT sequence FROM orders ORDER BY sequence DESC LIMIT 1 OFFSET ?))"
    " AND (boot_id != ? OR boottime_ms < ?)"
)


def _entry(row: tuple[Any, ...]) -> Entry:
    key, digest, body, result, notes = row
    order = decode(body, Order) if body is not None else None
    return Entry(key, digest, order, decode(result, OrderResult), decode(notes, dict[str, Any]))


def _facts(entry: Entry) -> OrderFacts:
    assert entry.order is not None
    state = "running" if entry.open else entry.result.state
    return OrderFacts(entry.key, entry.order.kind, entry.order.object, state, entry.result.summary)
