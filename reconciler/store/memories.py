"""Small things that passes remember: failing objects, hosts confirmed off, pauses, and history for people."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass

from sqlalchemy import ColumnElement, func, select

from reconciler.model.reports import HostOffProof, RunOnHost
from reconciler.store.database import Database
from reconciler.store.tables import ATTEMPTS, CENTERS, CONFIRMATIONS, HISTORY, PAUSES

HISTORY_ROWS = 100_000
ANYWHERE = ""
"""In place of the uuid of a data center: in each that the store serves."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An object whose passes fail: how many in a row, and why the last. digest: of its manifest at that time."""

    object: str
    digest: str
    failures: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Something paused in a data center (uuid), or ANYWHERE, and why."""

    data_center: str
    scope: str
    reason: str


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """Something that happened to an object, for people; wall-clock ms. data_center: its uuid, empty if it is not known."""

    sequence: int
    wallclock_ms: int
    object: str
    reason: str
    message: str
    data_center: str = ""


class Attempts:
    """Failing passes per object of a data center (uuid). Every method raises StoreError."""

    def __init__(self, database: Database, wallclock: Callable[[], int]) -> None:
        self._database = database
        self._wallclock = wallclock

    def failed(self, data_center: str, object_id: str, digest: str, reason: str) -> int:
        """Count one more failing pass; a changed manifest begins anew. Returns the failures in a row."""
        with self._database.writing() as connection:
            mine = _attempt(data_center, object_id)
            row = connection.execute(select(ATTEMPTS).where(mine)).one_or_none()
            failures = row.failures + 1 if row is not None and row.digest == digest else 1
            connection.execute(ATTEMPTS.delete().where(mine))
            connection.execute(
                ATTEMPTS.insert().values(
                    data_center=data_center,
                    object=object_id,
                    digest=digest,
                    failures=failures,
                    reason=reason,
                    wallclock_ms=self._wallclock(),
                )
            )
        return int(failures)

    def forget(self, data_center: str, object_id: str) -> bool:
        """Begin anew: a pass succeeded, or a person said `retry`. False if nothing was counted."""
        mine = _attempt(data_center, object_id)
        with self._database.writing() as connection:
            return connection.execute(ATTEMPTS.delete().where(mine)).rowcount > 0

    def all(self, data_center: str) -> dict[str, Attempt]:
        """Every failing object by id."""
        mine = select(ATTEMPTS).where(ATTEMPTS.c.data_center == data_center)
        with self._database.reading() as connection:
            rows = connection.execute(mine.order_by(ATTEMPTS.c.object)).all()
        return {row.object: Attempt(row.object, row.digest, row.failures, row.reason) for row in rows}


def _attempt(data_center: str, object_id: str) -> ColumnElement[bool]:
    return (ATTEMPTS.c.data_center == data_center) & (ATTEMPTS.c.object == object_id)


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
    """What is not to be changed for now: a data center, or one object. Every method raises StoreError.

    data_center: its uuid, or ANYWHERE for all that the store serves.
    """

    def __init__(self, database: Database, wallclock: Callable[[], int]) -> None:
        self._database = database
        self._wallclock = wallclock

    def pause(self, data_center: str, scope: str, reason: str) -> None:
        """Pause an object id."""
        row = {"scope": scope, "reason": reason, "wallclock_ms": self._wallclock()}
        with self._database.writing() as connection:
            connection.execute(PAUSES.delete().where(_paused(data_center, scope)))
            connection.execute(PAUSES.insert().values(data_center=data_center, **row))

    def resume(self, data_center: str, scope: str) -> bool:
        """End a pause; False if there was none."""
        with self._database.writing() as connection:
            return connection.execute(PAUSES.delete().where(_paused(data_center, scope))).rowcount > 0

    def reasons(self, data_center: str) -> dict[str, str]:
        """Reasons by object id, of what is paused in a data center (uuid) or anywhere."""
        return {one.scope: one.reason for one in self.all() if one.data_center in (ANYWHERE, data_center)}

    def all(self) -> tuple[Pause, ...]:
        """Every pause, by object id."""
        query = select(PAUSES).order_by(PAUSES.c.scope, PAUSES.c.data_center)
        with self._database.reading() as connection:
            return tuple(Pause(row.data_center, row.scope, row.reason) for row in connection.execute(query))


def _paused(data_center: str, scope: str) -> ColumnElement[bool]:
    return (PAUSES.c.data_center == data_center) & (PAUSES.c.scope == scope)


class Centers:
    """Names of the data centers that this store has served, by uuid. Every method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, uuid: str, name: str) -> None:
        """A data center is served from here, under this object id."""
        if self.all().get(uuid) == name:
            return
        with self._database.writing() as connection:
            connection.execute(CENTERS.delete().where(CENTERS.c.uuid == uuid))
            connection.execute(CENTERS.insert().values(uuid=uuid, name=name))

    def all(self) -> dict[str, str]:
        """Object ids by uuid."""
        with self._database.reading() as connection:
            rows = connection.execute(select(CENTERS).order_by(CENTERS.c.name, CENTERS.c.uuid)).all()
        return {row.uuid: row.name for row in rows}


class History:
    """What happened, for people; the oldest is forgotten. Every method raises StoreError."""

    def __init__(self, database: Database, wallclock: Callable[[], int]) -> None:
        self._database = database
        self._wallclock = wallclock

    def add(self, object_id: str, reason: str, message: str, data_center: str = "") -> None:
        """Keep one event; `reason` is a word in CamelCase, as Kubernetes' events have it. data_center: its uuid."""
        event = {"object": object_id, "reason": reason, "message": message, "data_center": data_center}
        with self._database.writing() as connection:
            row = HISTORY.insert().values(wallclock_ms=self._wallclock(), **event)
            sequence = connection.execute(row).inserted_primary_key
            if sequence is not None and sequence[0] % 1000 == 0:
                connection.execute(HISTORY.delete().where(HISTORY.c.sequence <= sequence[0] - HISTORY_ROWS))

    def add_all(self, events: Sequence[tuple[str, str, str]], data_center: str = "") -> None:
        """Keep several events (object, reason, message) of a data center (uuid) at once."""
        same = {"wallclock_ms": self._wallclock(), "data_center": data_center}
        rows = [
            {**same, "object": name, "reason": reason, "message": message} for name, reason, message in events
        ]
        if rows:
            with self._database.writing() as connection:
                connection.execute(HISTORY.insert(), rows)
                last = connection.scalar(select(func.max(HISTORY.c.sequence))) or 0
                connection.execute(HISTORY.delete().where(HISTORY.c.sequence <= last - HISTORY_ROWS))

    def latest(
        self, object_id: str | None = None, limit: int = 100, data_center: str | None = None
    ) -> tuple[HistoryEvent, ...]:
        """The latest events, newest first, of one object or of all; with a data center (uuid) its own, and those that
        may be."""
        query = select(HISTORY).order_by(HISTORY.c.sequence.desc()).limit(limit)
        if object_id is not None:
            query = query.where(HISTORY.c.object == object_id)
        if data_center is not None:
            query = query.where(HISTORY.c.data_center.in_((data_center, ANYWHERE)))
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(
            HistoryEvent(row.sequence, row.wallclock_ms, row.object, row.reason, row.message, row.data_center)
            for row in rows
        )
