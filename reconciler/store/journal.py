"""The journal of every apply: a step's `begin` before its order is sent, its `end` before a dependent starts.

Execution writes it, and reads after a crash what was begun and not ended.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, Delete, Row, select

from nodeagent.wire.codec import decode, encode
from reconciler.model.outcome import StepOutcome, StepState
from reconciler.store.database import Database, StoreError
from reconciler.store.tables import JOURNAL, RESULTS

Event = Literal["begin", "end"]


class JournalError(Exception):
    """A journal entry could not be made durable: no order is sent on its account. The message says what to do."""


@dataclass(frozen=True, slots=True)
class BegunStep:
    """A step whose order may have been sent: to whom, under which key, about which object. data_center: its uuid."""

    apply_id: str
    step_id: str
    key: str
    host: str
    object: str
    kind: str
    data_center: str


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line. settled: what became of the step is known, so that its object may be planned again.

    outcome is None in a `begin`. monotonic_ms: of the writer's clock, comparable within one apply only.
    """

    sequence: int
    event: Event
    step: BegunStep
    outcome: StepOutcome | None
    settled: bool
    monotonic_ms: int
    wallclock_ms: int


@dataclass(frozen=True, slots=True)
class ShownFrom:
    """The last result of an object under one agent's ledger shows in facts from this generation on."""

    ledger: str
    object: str
    generation: int


class Journal:
    """The journal in one database. Each write is durable when it returns, or raises JournalError."""

    def __init__(self, database: Database, wallclock: Callable[[], int]) -> None:
        self._database = database
        self._wallclock = wallclock

    def begin(self, step: BegunStep, monotonic_ms: int) -> None:
        """Record that the step's order is about to be sent."""
        self._write("begin", step, None, settled=False, monotonic_ms=monotonic_ms)

    def end(self, step: BegunStep, outcome: StepOutcome, monotonic_ms: int, *, settled: bool) -> None:
        """Record what became of a begun step. A later `end` of the same key replaces it."""
        self._write("end", step, outcome, settled=settled, monotonic_ms=monotonic_ms)

    def entries(self, apply_id: str | None = None) -> tuple[JournalEntry, ...]:
        """All lines in order, or those of one apply. Raises StoreError."""
        query = select(JOURNAL).order_by(JOURNAL.c.sequence)
        if apply_id is not None:
            query = query.where(JOURNAL.c.apply_id == apply_id)
        with self._database.reading() as connection:
            return tuple(_entry(row) for row in connection.execute(query))

    def latest_of(
        self, object_id: str, limit: int = 100, data_center: str | None = None
    ) -> tuple[JournalEntry, ...]:
        """The latest lines about an object, newest first, in all data centers or in one (uuid). Raises StoreError."""
        query = select(JOURNAL).where(JOURNAL.c.object == object_id).order_by(JOURNAL.c.sequence.desc())
        if data_center is not None:
            query = query.where(JOURNAL.c.data_center == data_center)
        with self._database.reading() as connection:
            return tuple(_entry(row) for row in connection.execute(query.limit(limit)))

    def unsettled(self, data_center: str) -> tuple[BegunStep, ...]:
        """Steps of all applies of a data center (uuid) that were begun and are not settled, oldest first.

        Raises StoreError.
        """
        settled = select(JOURNAL.c.key).where(JOURNAL.c.settled)
        begun = (JOURNAL.c.event == "begin") & (JOURNAL.c.data_center == data_center)
        query = select(JOURNAL).where(begun, JOURNAL.c.key.not_in(settled)).order_by(JOURNAL.c.sequence)
        with self._database.reading() as connection:
            return unsettled_steps(_entry(row) for row in connection.execute(query))

    def results_beyond(self, data_center: str, generations: Mapping[str, int]) -> tuple[ShownFrom, ...]:
        """Last results of objects of a data center (uuid) whose effect the facts do not show yet.

        generations: of the facts by ledger. Raises StoreError.
        """
        mine = select(RESULTS).where(RESULTS.c.data_center == data_center)
        with self._database.reading() as connection:
            rows = connection.execute(mine.order_by(RESULTS.c.object, RESULTS.c.ledger)).all()
        return tuple(
            ShownFrom(row.ledger, row.object, row.generation)
            for row in rows
            if row.generation > generations.get(row.ledger, row.generation)
        )

    def forget_results(self, data_center: str, generations: Mapping[str, int]) -> None:
        """Forget last results in a data center (uuid) that facts of these generations, by ledger, show.

        Raises StoreError.
        """
        with self._database.reading() as connection:
            rows = connection.execute(select(RESULTS).where(RESULTS.c.data_center == data_center)).all()
        shown = [one for one in rows if one.generation <= generations.get(one.ledger, 0)]
        if shown:
            with self._database.writing() as connection:
                for one in shown:
                    connection.execute(_same_row(RESULTS.delete(), data_center, one.ledger, one.object))

    def _write(
        self, event: Event, step: BegunStep, outcome: StepOutcome | None, *, settled: bool, monotonic_ms: int
    ) -> None:
        try:
            with self._database.writing() as connection:
                connection.execute(
                    JOURNAL.insert().values(
                        data_center=step.data_center,
                        apply_id=step.apply_id,
                        step_id=step.step_id,
                        event=event,
                        key=step.key,
                        host=step.host,
                        object=step.object,
                        kind=step.kind,
                        state=outcome.state if outcome else "",
                        settled=settled,
                        result=encode(outcome).decode() if outcome else "",
                        monotonic_ms=monotonic_ms,
                        wallclock_ms=self._wallclock(),
                    )
                )
                if outcome is not None and outcome.generation and outcome.ledger:
                    shown = ShownFrom(outcome.ledger, step.object, outcome.generation)
                    _keep_result(connection, step.data_center, shown)
        except StoreError as error:
            raise JournalError(f"the journal cannot be written, so no order is sent: {error}") from error


def _keep_result(connection: Connection, data_center: str, result: ShownFrom) -> None:
    """Instead of the object's result before."""
    connection.execute(_same_row(RESULTS.delete(), data_center, result.ledger, result.object))
    row = {"ledger": result.ledger, "object": result.object, "generation": result.generation}
    connection.execute(RESULTS.insert().values(data_center=data_center, **row))


def _same_row(statement: Delete, data_center: str, ledger: str, name: str) -> Delete:
    mine = RESULTS.c.data_center == data_center
    return statement.where(mine, RESULTS.c.ledger == ledger, RESULTS.c.object == name)


def unsettled_steps(entries: Iterable[JournalEntry]) -> tuple[BegunStep, ...]:
    """Steps that have a `begin` and no settled `end`, in the order in which they were begun."""
    found: dict[str, BegunStep] = {}
    settled: set[str] = set()
    for entry in entries:
        if entry.event == "begin":
            found.setdefault(entry.step.key, entry.step)
        elif entry.settled:
            settled.add(entry.step.key)
    return tuple(step for key, step in found.items() if key not in settled)


def _entry(row: Row[tuple[object, ...]]) -> JournalEntry:
    outcome = decode(row.result, StepOutcome) if row.result else None
    if outcome is not None and outcome.state not in StepState:
        raise StoreError(f"journal entry {row.sequence} was written by a newer ostler; use that")
    return JournalEntry(
        sequence=row.sequence,
        event=row.event,
        step=BegunStep(row.apply_id, row.step_id, row.key, row.host, row.object, row.kind, row.data_center),
        outcome=outcome,
        settled=row.settled,
        monotonic_ms=row.monotonic_ms,
        wallclock_ms=row.wallclock_ms,
    )
