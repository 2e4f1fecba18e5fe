"""Runs that end by themselves, one after another: how many in a row, and how long to wait before the next start.

Diffing waits by it, planning writes the number into the record. Ages in ms, from the clocks of agents.
"""

from collections.abc import Iterable

from nodeagent.wire.facts import ExitFacts
from nodeagent.wire.records import VmRecord
from reconciler.model.observed import HostObservation

LONG_RUN_MS = 600_000
"""A run that lasted so long begins the count anew."""
OWN_ENDS = frozenset({"shutdown", "crashed", "failed", "unknown"})
"""How a guest ends by itself; what somebody destroys, or a host takes along, does not end because it was started."""
FIRST_DELAY_MS = 10_000
LONGEST_DELAY_MS = 300_000


def count_ends(record: VmRecord, exit_: ExitFacts | None) -> int | None:
    """How many runs in a row ended by themselves, each soon after its start, with the record's last one.

    exit_: what an agent keeps of an exit that the record does not hold yet. None: the last run was stopped by us.
    """
    run = record.run
    if run is None or run.closed is not None:
        return record.ends
    mine = exit_ if exit_ is not None and exit_.run == run.number else None
    if mine is not None and mine.reason in ("stopped", "migrated"):
        return None
    brief = (
        mine is not None and mine.reason in OWN_ENDS and mine.ran_ms is not None and mine.ran_ms < LONG_RUN_MS
    )
    return (record.ends or 0) + 1 if brief else 1


def restart_delay_ms(ends: int) -> int:
    """How long a VM stays down after so many ends in a row: not at all after the first, then 10 s, doubled with each
    further one, at most 5 minutes."""
    return 0 if ends < 2 else min(FIRST_DELAY_MS << min(ends - 2, 10), LONGEST_DELAY_MS)


def age_of_exit_ms(exit_: ExitFacts, hosts: Iterable[HostObservation]) -> int | None:
    """How long ago a guest ended, by the clock of the host that keeps its exit; None if nobody saw it."""
    if exit_.ended_ms is None:
        return None
    for host in hosts:
        now = host.boottime_ms
        if host.state is not None and host.state.boot_id == exit_.boot_id and exit_ in host.state.exits:
            return max(0, now - exit_.ended_ms) if now is not None else None
    return None
