"""Turns what was once said of hosts that are off into the proofs that still count. Called by `assemble` and the loop.

A proof is for one incident. What was said of a host that has run something since is no proof any more, also where
nobody who asks here has heard that host meanwhile: the records on storage tell.
"""

from collections.abc import Iterable, Mapping

from nodeagent.wire.records import VmRecord
from reconciler.model.desired import Desired
from reconciler.model.observed import HostObservation
from reconciler.model.reports import HostOffProof, Reports, RunOnHost, StorageReport
from reconciler.observing.hosts import observe_hosts


def find_open_runs(center: str, storage: Iterable[StorageReport]) -> dict[str, frozenset[RunOnHost]]:
    """The open runs that name each host, by host uuid, as the records on all domains say that were read.

    Of several records of a VM those with its highest run count. center: uuid of the data center.
    """
    latest: dict[str, list[VmRecord]] = {}
    for report in storage:
        for record in report.contents.vms if report.contents else ():
            if record.data_center == center and record.run is not None:
                latest.setdefault(record.uuid, []).append(record)
    found: dict[str, set[RunOnHost]] = {}
    for uuid, records in latest.items():
        runs = [record.run for record in records if record.run is not None]
        last = max(run.number for run in runs)
        for run in runs:
            for host in run.hosts if run.closed is None and run.number == last else ():
                found.setdefault(host.uuid, set()).add(RunOnHost(uuid, run.number, host.boot_id))
    return {uuid: frozenset(runs) for uuid, runs in found.items()}


def proofs_that_count(
    hosts: Mapping[str, HostObservation],
    proofs: Iterable[HostOffProof],
    open_runs: Mapping[str, frozenset[RunOnHost]],
) -> dict[str, tuple[HostOffProof, ...]]:
    """Proofs that a host is off, by host uuid: only of hosts that have stayed silent, and of hosts that nobody knows.

    Whoever answers or refuses is alive, whatever was proven before; before the grace has run, nobody is silent. A
    proof that does not know one of the open runs that name its host is older than that run, and is void as a whole.
    Sorted, so that the order in which they came shows nowhere.
    """
    by_uuid = {host.uuid: host for host in hosts.values()}
    counted: dict[str, set[HostOffProof]] = {}
    for proof in proofs:
        host = hosts.get(proof.host) or by_uuid.get(proof.host)
        uuid = host.uuid if host else proof.host.removeprefix("host/")
        if host is not None and host.status != "silent":
            continue
        if open_runs.get(uuid, frozenset()) <= frozenset(proof.runs):
            counted.setdefault(uuid, set()).add(proof)
    return {
        uuid: tuple(sorted(found, key=lambda one: (one.kind, one.runs, one.reference)))
        for uuid, found in sorted(counted.items())
    }


def find_proven_off(desired: Desired, reports: Reports) -> frozenset[str]:
    """Uuids of the silent hosts that are proven off, as these reports have it."""
    if not reports.proofs:
        return frozenset()
    hosts = observe_hosts(desired, reports.hosts)
    runs = find_open_runs(desired.data_center.uuid, reports.storage)
    return frozenset(proofs_that_count(hosts, reports.proofs, runs))
