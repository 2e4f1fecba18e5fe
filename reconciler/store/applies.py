"""Every admitted plan, whole, with how its apply ended; and requests of other processes to stop it."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, Row, select

from reconciler.store.database import Database
from reconciler.store.tables import APPLIES, JOURNAL

KEEP_APPLIES = 500

ApplyState = Literal["running", "achieved", "failed", "interrupted"]
"""interrupted: stopped by a person, a lost lease or a crash before every step had ended."""


@dataclass(frozen=True, slots=True)
class Apply:
    """One apply. data_center: uuid; owner: the open store of the process that admitted it. ended_ms is None while it
    runs; wall clock."""

    apply_id: str
    plan_id: str
    digest: str
    data_center: str
    owner: str
    state: ApplyState
    detail: str
    began_ms: int
    ended_ms: int | None


class Applies:
    """Admitted plans in one database. Every method raises StoreError."""

    def __init__(self, database: Database, wallclock: Callable[[], int]) -> None:
        self._database = database
        self._wallclock = wallclock
        self._owner = str(uuid.uuid4())

    def admit(self, apply_id: str, plan_id: str, digest: str, data_center: str, body: str) -> None:
        """Record that a plan was admitted; durable before its first step begins. data_center: its uuid."""
        with self._database.writing() as connection:
            connection.execute(
                APPLIES.insert().values(
                    apply_id=apply_id,
                    plan_id=plan_id,
                    digest=digest,
                    data_center=data_center,
                    owner=self._owner,
                    body=body,
                    state="running",
                    detail="",
                    stop_requested="",
                    began_ms=self._wallclock(),
                )
            )
            _forget_old(connection)

    def end(self, apply_id: str, state: ApplyState, detail: str = "") -> None:
        """Record how an apply ended."""
        self._update(apply_id, state=state, detail=detail, ended_ms=self._wallclock())

    def request_stop(self, apply_id: str, reason: str) -> bool:
        """Ask the process that runs an apply to start no more steps; False if it does not run."""
        running = [one.apply_id for one in self.running()]
        if apply_id in running:
            self._update(apply_id, stop_requested=reason)
        return apply_id in running

    def stop_requested(self, apply_id: str) -> str:
        """Why an apply is to stop; empty if nobody asked."""
        with self._database.reading() as connection:
            query = select(APPLIES.c.stop_requested).where(APPLIES.c.apply_id == apply_id)
            return connection.scalar(query) or ""

    def find(self, apply_id: str) -> Apply | None:
        """One apply."""
        found = self._select(APPLIES.c.apply_id == apply_id)
        return found[0] if found else None

    def admitted(self, digest: str) -> tuple[Apply, ...]:
        """Applies of this very plan, oldest first."""
        return self._select(APPLIES.c.digest == digest)

    def running(self) -> tuple[Apply, ...]:
        """Applies that have no end: of a living process, or of one that was killed."""
        return self._select(APPLIES.c.state == "running")

    def abandoned(self, data_center: str) -> tuple[Apply, ...]:
        """Applies without end that nobody carries out any more, for the caller that holds `store.exclusive()` and has
        none of this data center (uuid) under way: all of it, and those of other processes."""
        return tuple(
            one for one in self.running() if one.data_center == data_center or one.owner != self._owner
        )

    def latest(self, limit: int = 20, data_center: str | None = None) -> tuple[Apply, ...]:
        """The latest applies, newest first; of one data center (uuid) if it is given."""
        query = select(APPLIES).order_by(APPLIES.c.began_ms.desc(), APPLIES.c.apply_id).limit(limit)
        if data_center is not None:
            query = query.where(APPLIES.c.data_center == data_center)
        with self._database.reading() as connection:
            return tuple(_apply(row) for row in connection.execute(query))

    def body(self, apply_id: str) -> str | None:
        """The plan file's text of an apply."""
        with self._database.reading() as connection:
            return connection.scalar(select(APPLIES.c.body).where(APPLIES.c.apply_id == apply_id))

    def _select(self, condition: "ColumnElement[bool]") -> tuple[Apply, ...]:
        query = select(APPLIES).where(condition).order_by(APPLIES.c.began_ms, APPLIES.c.apply_id)
        with self._database.reading() as connection:
            return tuple(_apply(row) for row in connection.execute(query))

    def _update(self, apply_id: str, **values: object) -> None:
        with self._database.writing() as connection:
            connection.execute(APPLIES.update().where(APPLIES.c.apply_id == apply_id).values(**values))


def _forget_old(connection: Connection) -> None:
    """Forget applies beyond the latest KEEP_APPLIES, but none that runs or has a step which is not settled."""
    latest = select(APPLIES.c.apply_id).order_by(APPLIES.c.began_ms.desc()).limit(KEEP_APPLIES)
    settled = select(JOURNAL.c.key).where(JOURNAL.c.settled)
    unsettled = select(JOURNAL.c.apply_id).where(JOURNAL.c.event == "begin", JOURNAL.c.key.not_in(settled))
    old = connection.scalars(
        select(APPLIES.c.apply_id).where(
            APPLIES.c.apply_id.not_in(latest),
            APPLIES.c.apply_id.not_in(unsettled),
            APPLIES.c.state != "running",
        )
    ).all()
    if old:
        connection.execute(JOURNAL.delete().where(JOURNAL.c.apply_id.in_(old)))
        connection.execute(APPLIES.delete().where(APPLIES.c.apply_id.in_(old)))


def _apply(row: Row[tuple[object, ...]]) -> Apply:
    return Apply(
        row.apply_id,
        row.plan_id,
        row.digest,
        row.data_center,
        row.owner,
        row.state,
        row.detail,
        row.began_ms,
        row.ended_ms,
    )
