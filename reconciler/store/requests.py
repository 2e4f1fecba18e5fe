"""What other commands ask of the process that applies plans with this store: intents about VMs, and what came of them.

While `ostler run` holds the store, `ostler vm` leaves its intent here, and the loop takes it up within a second.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy import ColumnElement, select

from nodeagent.wire.codec import decode, encode
from nodeagent.wire.records import Intent
from reconciler.store.database import Database
from reconciler.store.tables import REQUESTS

KEEP_REQUESTS = 1000

RequestState = Literal["waiting", "taken", "done", "refused", "failed"]
"""taken: the intent stands in the VM's record. done, refused, failed: the end, with why in `detail`."""

ENDED = frozenset({"done", "refused", "failed"})


@dataclass(frozen=True, slots=True)
class Request:
    """One intent. data_center: uuid; vm: object id."""

    sequence: int
    data_center: str
    vm: str
    intent: Intent
    state: RequestState
    detail: str


class Requests:
    """Intents left for another process. Every method raises StoreError."""

    def __init__(self, database: Database, wallclock: Callable[[], int]) -> None:
        self._database = database
        self._wallclock = wallclock

    def leave(self, data_center: str, vm: str, intent: Intent) -> None:
        """Leave an intent for the process that applies."""
        with self._database.writing() as connection:
            row = REQUESTS.insert().values(
                data_center=data_center,
                vm=vm,
                intent=intent.id,
                body=encode(intent).decode(),
                state="waiting",
                detail="",
                wallclock_ms=self._wallclock(),
            )
            sequence = connection.execute(row).inserted_primary_key
            if sequence is not None:
                connection.execute(
                    REQUESTS.delete().where(REQUESTS.c.sequence <= sequence[0] - KEEP_REQUESTS)
                )

    def answer(self, intent: str, state: RequestState, detail: str = "") -> None:
        """Say what came of an intent."""
        with self._database.writing() as connection:
            mine = REQUESTS.c.intent == intent
            connection.execute(REQUESTS.update().where(mine).values(state=state, detail=detail))

    def follow_move(self, data_center: str, vm: str, run: int) -> None:
        """Intents of a VM (id) in a data center (uuid) that wait count on after it was moved; `run`: its new one."""
        for one in self.open(data_center):
            if one.vm == vm and one.state == "waiting" and one.intent.run == run - 1:
                body = encode(replace(one.intent, run=run)).decode()
                with self._database.writing() as connection:
                    mine = REQUESTS.c.intent == one.intent.id
                    connection.execute(REQUESTS.update().where(mine).values(body=body))

    def find(self, intent: str) -> Request | None:
        """An intent by its id."""
        found = self._select(REQUESTS.c.intent == intent)
        return found[0] if found else None

    def open(self, data_center: str) -> tuple[Request, ...]:
        """Intents of a data center (uuid) that have not come to an end, oldest first."""
        return self._select(
            (REQUESTS.c.data_center == data_center) & REQUESTS.c.state.in_(("waiting", "taken"))
        )

    def _select(self, condition: "ColumnElement[bool]") -> tuple[Request, ...]:
        query = select(REQUESTS).where(condition).order_by(REQUESTS.c.sequence)
        with self._database.reading() as connection:
            return tuple(
                Request(
                    row.sequence, row.data_center, row.vm, decode(row.body, Intent), row.state, row.detail
                )
                for row in connection.execute(query)
            )
