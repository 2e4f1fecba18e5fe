"""Turns one VM's record, sightings and witnesses into its observation. Called by `assemble` for each VM."""

from collections.abc import Iterable

from nodeagent.wire.facts import ExitFacts
from nodeagent.wire.orders import Evidence
from nodeagent.wire.records import Run
from reconciler.model.observed import GuestOnHost, Presence, VmObservation
from reconciler.observing.evidence import Witnesses, doubts_of_run, judge_closed, judge_everyone, judge_open
from reconciler.observing.records import Found
from reconciler.observing.sightings import Sightings


def observe_vm(uuid: str, found: Found, seen: Sightings, witnesses: Witnesses) -> VmObservation:
    """All that is known of one VM.

    It runs if an answering host lists it in another state than `incoming`. It is not running only with evidence,
    and while nobody reports a guest, a process, the incoming end of a migration or an open order that starts it,
    nor has reported, before falling silent, a run that the record does not know.
    """
    record = found.record
    run = record.run if record is not None else None
    guests = seen.guests.get(uuid, ())
    identifier = record.object if record is not None else _object_of(guests)
    lively = [one.host for one in guests if one.facts.state != "incoming"]
    evidence = None
    if lively:
        presence, host = Presence.RUNNING, _main_host(lively, run, witnesses)
        doubts = _doubts_while_running(uuid, host, lively, found, seen, witnesses)
    else:
        evidence, doubts = _judge(found, witnesses)
        restless = [*seen.processes.get(uuid, ()), *(one.host for one in guests)]
        restless += seen.starting.get(identifier or "", ())
        restless += _hinted_hosts(found, seen.hints.get(uuid, ()))
        if restless:
            evidence, doubts = None, tuple(sorted({*doubts, *restless}))
        presence, host = Presence.NOT_RUNNING if evidence is not None else Presence.UNKNOWN, None
    return VmObservation(
        uuid=uuid,
        object=identifier,
        record=record,
        record_state=found.state,
        presence=presence,
        guests=guests,
        host=host,
        evidence=evidence,
        doubts=doubts,
        exit=_exit(found, seen.exits.get(uuid)),
    )


def _object_of(guests: tuple[GuestOnHost, ...]) -> str | None:
    """The object id in the metadata of a guest that an agent calls ours; None for a stranger's."""
    return next((one.facts.config.object for one in guests if one.facts.managed and one.facts.config), None)


def _main_host(lively: list[str], run: Run | None, witnesses: Witnesses) -> str:
    """Where the VM runs: of several hosts the first that its run names, the source of a migration; else by id."""
    if len(lively) > 1 and run is not None:
        named = [witnesses.name(host.uuid) for host in run.hosts]
        return next((host for host in named if host in lively), lively[0])
    return lively[0]


def _doubts_while_running(
    uuid: str, host: str, lively: list[str], found: Found, seen: Sightings, witnesses: Witnesses
) -> tuple[str, ...]:
    """Ids of the other hosts that run the VM as well, or may: a split, a bare process, the end of a migration."""
    run = found.record.run if found.record is not None and found.state == "read" else None
    processes = seen.processes.get(uuid, ())
    at_home = run is None or (len(run.hosts) == 1 and witnesses.name(run.hosts[0].uuid) == host)
    if len(lively) == 1 and not processes and at_home:
        return ()
    others = {*lively, *processes, *doubts_of_run(run, witnesses)} - {host}
    return tuple(sorted(others))


def _hinted_hosts(found: Found, hints: Iterable[tuple[str, int | None]]) -> list[str]:
    """Ids of the hosts that were last seen with a guest that its record does not account for: started behind it."""
    if found.state != "read":
        return []
    known = found.record.run.number if found.record is not None and found.record.run is not None else 0
    return [host for host, run in hints if run is None or run > known]


def _judge(found: Found, witnesses: Witnesses) -> tuple[Evidence | None, tuple[str, ...]]:
    """Evidence or doubts by what the record says, if it counts; else by what every host says."""
    run = found.record.run if found.record is not None else None
    if found.state != "read":
        return judge_everyone(run, witnesses)
    if run is None or run.closed is not None:
        return judge_closed(run), ()
    return judge_open(run, witnesses)


def _exit(found: Found, exits: list[tuple[str, ExitFacts]] | None) -> ExitFacts | None:
    """The exit that the record does not hold yet: of its open run, or the newest if the record does not count.

    Where both ends of a migration tell one, the end of the guest goes before the end of its stay at the source.
    """
    if not exits:
        return None
    if found.state == "read":
        run = found.record.run if found.record is not None else None
        if run is None or run.closed is not None:
            return None
        exits = [(host, one) for host, one in exits if one.run == run.number]
    ranked = sorted(
        exits, key=lambda pair: (-pair[1].run, pair[1].reason == "migrated", pair[0], pair[1].reason)
    )
    return ranked[0][1] if ranked else None
