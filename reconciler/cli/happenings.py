"""What happened to one object: what applies remembered, and what only the journal knows.

An apply that was killed remembered nothing; what its steps came to was journalled before, or found out by the next one.
"""

import re
from collections.abc import Iterator, Sequence

from reconciler.model.outcome import StepState
from reconciler.store.journal import JournalEntry
from reconciler.store.memories import HistoryEvent
from reconciler.store.store import Store

APPLY = re.compile(r"\(apply (\w+)\)")


def happenings_of(store: Store, identifier: str, center: str | None, limit: int) -> list[HistoryEvent]:
    """The latest events of an object, oldest first; in one data center (uuid), or in all. Raises StoreError."""
    told = store.history.latest(identifier, limit, center)
    known = {(one.data_center, one.reason, apply) for one in told for apply in APPLY.findall(one.message)}
    lines = store.journal.latest_of(identifier, 2 * limit, center)
    found = [
        one
        for apply, one in _from_journal(lines)
        if not {(center, one.reason, apply) for center in (one.data_center, "")} & known
    ]
    ordered = sorted((*told, *found), key=lambda one: (one.wallclock_ms, one.sequence))
    return ordered[-limit:]


def _from_journal(lines: Sequence[JournalEntry]) -> Iterator[tuple[str, HistoryEvent]]:
    """The last that is known of each step, as its apply would have remembered it, with the apply. Newest lines first."""
    seen: set[str] = set()
    for line in lines:
        step, end = line.step, line.outcome
        if step.key in seen:
            continue
        seen.add(step.key)
        ending = "" if end and end.state is StepState.SUCCEEDED else end.state.value if end else "begun"
        word = "".join(part.capitalize() for part in (*step.kind.split("-"), ending))
        summary = end.summary if end else "no end is known of it"
        why = f": {summary}" if summary else ""
        message = f"{step.step_id} on {step.host} (apply {step.apply_id}){why}"
        yield (
            step.apply_id,
            HistoryEvent(line.sequence, line.wallclock_ms, step.object, word, message, step.data_center),
        )
