"""Turns host reports into one observation a host. Called by `assemble`."""

from collections.abc import Iterable, Mapping

from nodeagent.wire.facts import HostState
from reconciler.model.desired import Desired
from reconciler.model.observed import HostObservation
from reconciler.model.reports import HostReport
from reconciler.observing.freshness import judge_report


def host_id(uuid: str, names: Mapping[str, str]) -> str:
    """The object id of a host: its manifest's by uuid, else `host/<uuid>`."""
    return names.get(uuid) or f"host/{uuid}"


def observe_hosts(
    desired: Desired, reports: Iterable[HostReport], wallclock_ms: int | None = None
) -> dict[str, HostObservation]:
    """One observation a host by object id, sorted: every host reported, and every declared one.

    Hosts are told apart by uuid alone. A host for which two different reports came counts as refused: two agents
    claim to be it, or its answers were mixed up. A declared host without a report was not asked: unknown.
    wallclock_ms: ours, by which certificates age.
    """
    names = {host.uuid: host.meta.id for host in desired.hosts.values()}
    by_uuid: dict[str, list[HostReport]] = {uuid: [] for uuid in names}
    for report in reports:
        by_uuid.setdefault(report.uuid, []).append(report)
    found = [
        _observe_host(uuid, host_id(uuid, names), given, wallclock_ms) for uuid, given in by_uuid.items()
    ]
    return {host.id: host for host in sorted(found, key=lambda host: host.id)}


def _observe_host(
    uuid: str, identifier: str, given: list[HostReport], wallclock_ms: int | None
) -> HostObservation:
    if not given:
        return HostObservation(identifier, uuid, "unknown", detail="it was not asked")
    if any(other != given[0] for other in given[1:]):
        return HostObservation(identifier, uuid, "refused", detail="it was reported twice, differently")
    report = given[0]
    status, detail, state = judge_report(report)
    return HostObservation(
        identifier, uuid, status, report.age_ms, detail, state, report.statistics, report.clock_age_ms, report.skew_ms,
        _certificate_percent(state, wallclock_ms),
    )  # fmt: skip


def _certificate_percent(state: HostState | None, wallclock_ms: int | None) -> int | None:
    """How much of the life of a host's certificate is over, 0 to 100."""
    shown = state.certificate if state is not None else None
    if shown is None or wallclock_ms is None or shown.expires_ms <= shown.begins_ms:
        return None
    over = (wallclock_ms - shown.begins_ms) * 100 // (shown.expires_ms - shown.begins_ms)
    return min(100, max(0, over))


def add_hosts_of_pool(
    hosts: Mapping[str, HostObservation], host_ids: Mapping[str, int]
) -> dict[str, HostObservation]:
    """The hosts, and those that only the pool's metadata knows: silent, because nobody knows where to ask.

    A host keeps its id in the pool until it has let go of storage, so one whose manifest is gone may still run VMs.
    """
    known = {host.uuid for host in hosts.values()}
    missing = [uuid for uuid in host_ids if uuid not in known]
    if not missing:
        return dict(hosts)
    detail = "it holds host id {} in the pool, but nobody declares it and its address is not known"
    added = {
        f"host/{uuid}": HostObservation(f"host/{uuid}", uuid, "silent", detail=detail.format(host_ids[uuid]))
        for uuid in missing
    }
    return dict(sorted({**hosts, **added}.items()))
