"""Guests that run outside the run that their record knows: started by hand, or of a record that was put back.

`diffing` says what is to be done about them, `planning` writes the run that was found.
"""

from nodeagent.wire.records import Run, RunHost
from reconciler.model.observed import Observed, Presence, VmObservation


def is_unrecorded(seen: VmObservation | None) -> bool:
    """Whether the VM runs, on one host and for sure, and its record knows of no open run: anybody would take it for
    stopped as soon as its host falls silent."""
    if seen is None or not _runs_for_sure(seen) or seen.record is None:
        return False
    run = seen.record.run
    return seen.record.managed and (run is None or run.closed is not None)


def is_outdated(observed: Observed, seen: VmObservation | None) -> bool:
    """Whether the VM runs, for sure, where its record's open run does not name its host, and in a later run: the record
    was put back to an older state. Agents end guests of the same or an earlier run by themselves."""
    if seen is None or not _runs_for_sure(seen) or seen.record is None or seen.guest is None:
        return False
    run = seen.record.run
    if run is None or run.closed is not None or seen.host is None:
        return False
    elsewhere = observed.hosts[seen.host].uuid not in {one.uuid for one in run.hosts}
    living = seen.guest.config.run if seen.guest.config is not None else None
    return elsewhere and (living is None or living > run.number)


def _runs_for_sure(seen: VmObservation) -> bool:
    moving = any(one.facts.state == "incoming" or one.facts.migration is not None for one in seen.guests)
    return (
        seen.presence is Presence.RUNNING
        and seen.record_state == "read"
        and not seen.doubts
        and len(seen.guests) == 1
        and not moving
    )


def found_run(observed: Observed, seen: VmObservation) -> Run | None:
    """The open run to write for a guest that runs outside its record: the next number, on its host."""
    last = seen.record.run.number if seen.record is not None and seen.record.run is not None else 0
    state = observed.hosts[seen.host].state if seen.host is not None else None
    return Run(last + 1, (RunHost(state.host_uuid, state.boot_id),)) if state is not None else None
