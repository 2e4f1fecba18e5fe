"""Small things that passes remember: failing objects, hosts confirmed off, pauses, and history for people."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass

from sqlalchemy import func, select

from reconciler.model.reports import HostOffProof, RunOnHost
from reconciler.store.database import Database
from reconciler.store.tables import ATTEMPTS, CONFIRMATIONS, HISTORY, PAUSES

HISTORY_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """An object whose passes fail: how many in a row, and why the last. digest: of its manifest at that time."""

    object: str
    digest: str
    failures: int
    reason: str


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """Something that happened to an object, for people; wall-clock ms."""

    sequence: int
    wallclock_ms: int
    object: str
    reason: str
    message: str


class Attempts:
    """Failing passes per object. Every method raises StoreError."""

    def __init__(self, database: Database, wallclock: Callable[[], int]) -> None:
        self._database = database
        self._wallclock = wallclock

    def failed(self, object_id: str, digest: str, reason: str) -> int:
        """Count one more failing pass; a changed manifest begins anew. Returns the failures in a row."""
        with self._database.writing() as connection:
            mine = ATTEMPTS.c.object == object_id
            row = connection.execute(select(ATTEMPTS).where(mine)).one_or_none()
            failures = row.failures + 1 if row is not None and row.digest == digest else 1
            connection.execute(ATTEMPTS.delete().where(mine))
            connection.execute(
                ATTEMPTS.insert().values(
                    object=object_id,
                    digest=digest,
                    failures=failures,
                    reason=reason,
                    wallclock_ms=self._wallclock(),
                )
            )
        return int(failures)

    def forget(self, object_id: str) -> bool:
        """Begin anew: a pass succeeded, or a person said `retry`. False if nothing was counted."""
        with self._database.writing() as connection:
            return connection.execute(ATTEMPTS.delete().where(ATTEMPTS.c.object == object_id)).rowcount > 0

    def all(self) -> dict[str, Attempt]:
        """Every failing object by id."""
        with self._database.reading() as connection:
            rows = connection.execute(select(ATTEMPTS).order_by(ATTEMPTS.c.object)).all()
        return {row.object: Attempt(row.object, row.digest, row.failures, row.reason) for row in rows}


class Confirmations:
    """Proofs that hosts are off, each for one incident: it ends when the host is seen alive.

    Every method raises StoreError.
    """

    def __init__(self, database: Database, wallclock: Callable[[], int]) -> None:
        self._database = database
        self._wallclock = wallclock

    def add(self, data_center: str, proof: HostOffProof) -> None:
        """Keep a proof; one of the same host and data center (uuid) is replaced."""
        self.end(data_center, [proof.host])
        with self._database.writing() as connection:
            connection.execute(
                CONFIRMATIONS.insert().values(
                    data_center=data_center,
                    host=proof.host,
                    kind=proof.kind,
                    runs=json.dumps([astuple(run) for run in proof.runs]),
                    reference=proof.reference,
                    ended=False,
                    wallclock_ms=self._wallclock(),
                )
            )

    def current(self, data_center: str) -> tuple[HostOffProof, ...]:
        """Proofs that still hold, by host."""
        mine = (CONFIRMATIONS.c.data_center == data_center) & ~CONFIRMATIONS.c.ended
        with self._database.reading() as connection:
            rows = connection.execute(select(CONFIRMATIONS).where(mine).order_by(CONFIRMATIONS.c.host)).all()
        return tuple(
            HostOffProof(
                row.host, row.kind, tuple(RunOnHost(*one) for one in json.loads(row.runs)), row.reference
            )
            for row in rows
        )

    def end(self, data_center: str, hosts: Iterable[str]) -> None:
        """The incidents of these hosts are over: they answered."""
        mine = CONFIRMATIONS.c.host.in_(sorted(hosts)) & ~CONFIRMATIONS.c.ended
        with self._database.writing() as connection:
            connection.execute(
                CONFIRMATIONS.update()
                .where(mine, CONFIRMATIONS.c.data_center == data_center)
                .values(ended=True)
            )


class Pauses:
    """What is not to be changed for now: a data center, or one object. Every method raises StoreError."""

    def __init__(self, database: Database, wallclock: Callable[[], int]) -> None:
        self._database = database
        self._wallclock = wallclock

    def pause(self, scope: str, reason: str) -> None:
        """Pause an object id."""
        self.resume(scope)
        with self._database.writing() as connection:
            connection.execute(
                PAUSES.insert().values(scope=scope, reason=reason, wallclock_ms=self._wallclock())
            )

    def resume(self, scope: str) -> bool:
        """End a pause; False if there was none."""
        with self._database.writing() as connection:
            return connection.execute(PAUSES.delete().where(PAUSES.c.scope == scope)).rowcount > 0

    def all(self) -> dict[str, str]:
        """Reasons by object id."""
        with self._database.reading() as connection:
            rows = connection.execute(select(PAUSES).order_by(PAUSES.c.scope)).all()
        return {row.scope: row.reason for row in rows}


class History:
    """What happened, for people; the oldest is forgotten. Every method raises StoreError."""

    def __init__(self, database: Database, wallclock: Callable[[], int]) -> None:
        self._database = database
        self._wallclock = wallclock

    def add(self, object_id: str, reason: str, message: str) -> None:
        """Keep one event; `reason` is a word in CamelCase, as Kubernetes' events have it."""
        with self._database.writing() as connection:
            row = HISTORY.insert().values(
                wallclock_ms=self._wallclock(), object=object_id, reason=reason, message=message
            )
            sequence = connection.execute(row).inserted_primary_key
            if sequence is not None and sequence[0] % 1000 == 0:
                connection.execute(HISTORY.delete().where(HISTORY.c.sequence <= sequence[0] - HISTORY_ROWS))

    def add_all(self, events: Sequence[tuple[str, str, str]]) -> None:
        """Keep several events (object, reason, message) at once."""
        now = self._wallclock()
        rows = [
            {"wallclock_ms": now, "object": name, "reason": reason, "message": message}
            for name, reason, message in events
        ]
        if rows:
            with self._database.writing() as connection:
                connection.execute(HISTORY.insert(), rows)
                last = connection.scalar(select(func.max(HISTORY.c.sequence))) or 0
                connection.execute(HISTORY.delete().where(HISTORY.c.sequence <= last - HISTORY_ROWS))

    def latest(self, object_id: str | None = None, limit: int = 100) -> tuple[HistoryEvent, ...]:
        """The latest events, newest first, of one object or of all."""
        query = select(HISTORY).order_by(HISTORY.c.sequence.desc()).limit(limit)
        if object_id is not None:
            query = query.where(HISTORY.c.object == object_id)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(
            HistoryEvent(row.sequence, row.wallclock_ms, row.object, row.reason, row.message) for row in rows
        )
