"""Turns records and sightings into presence: who can prove that a VM is not running, and who cannot be asked.

The heart of the first promise, never two writers. Called by `assemble` for each VM, and once for every VM that
nobody has ever heard of. Without proof a VM is unknown, and never started.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nodeagent.wire.orders import Evidence, HostEvidence
from nodeagent.wire.records import Run, RunHost
from reconciler.model.observed import HostObservation
from reconciler.model.reports import HostOffProof


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Every host that counts, and what holds of them whichever VM is asked about.

    hosts: by uuid. off: proofs that count, by host uuid. everyone: one piece of evidence a host that is accounted
    for, by uuid. unaccounted: ids of the others, and of the storage domains without which it is not known who
    holds a host id.
    """

    hosts: Mapping[str, HostObservation]
    off: Mapping[str, tuple[HostOffProof, ...]]
    everyone: tuple[HostEvidence, ...]
    unaccounted: tuple[str, ...]

    def name(self, uuid: str) -> str:
        """The id of a host, also of one that nobody knows."""
        host = self.hosts.get(uuid)
        return host.id if host else f"host/{uuid}"


def call_witnesses(
    hosts: Iterable[HostObservation],
    off: Mapping[str, tuple[HostOffProof, ...]],
    lacking: tuple[str, ...],
) -> Witnesses:
    """All hosts of one observation as witnesses. hosts: declared, reported and holders of a host id in the pool."""
    by_uuid = {host.uuid: host for host in hosts}
    accounts = {uuid: account_for(uuid, None, by_uuid, off) for uuid in sorted(by_uuid)}
    everyone = tuple(one for one in accounts.values() if one is not None)
    missing = {by_uuid[uuid].id for uuid, one in accounts.items() if one is None}
    return Witnesses(by_uuid, off, everyone, tuple(sorted(missing.union(lacking))))


def account_for(
    uuid: str,
    boot_id: str | None,
    hosts: Mapping[str, HostObservation],
    off: Mapping[str, tuple[HostOffProof, ...]],
) -> HostEvidence | None:
    """Why a host does not run a VM that no answer shows, None if that is not known.

    boot_id: the boot in which the VM's run began there, None if there is no such run. An answer counts if libvirt
    listed everything, in whatever boot. A proof covers only runs of boots that it knows: it may be older than the
    run.
    """
    host = hosts.get(uuid)
    if host is not None and host.answering and host.state is not None:
        if not host.state.guests_complete:
            return None
        changed = boot_id is not None and boot_id != host.state.boot_id
        return HostEvidence(
            uuid,
            "boot-changed" if changed else "answered",
            boot_id=host.state.boot_id,
            generation=host.state.generation,
        )
    for proof in off.get(uuid, ()):
        if boot_id is None or any(run.boot_id == boot_id for run in proof.runs):
            return HostEvidence(uuid, proof.kind, boot_id=boot_id, reference=proof.reference)
    return None


def judge_closed(run: Run | None) -> Evidence:
    """The evidence of a record, read in this observation, whose last run is closed or that has none."""
    return Evidence("closed", run=run.number if run else 0)


def judge_open(run: Run, witnesses: Witnesses) -> tuple[Evidence | None, tuple[str, ...]]:
    """Evidence or doubts about a VM with an open run: each host named in it must be accounted for."""
    if not run.hosts:
        return judge_everyone(run, witnesses)
    found, doubts = _account_for_run(run.hosts, witnesses)
    if doubts:
        return None, doubts
    return Evidence("hosts", run=run.number, hosts=found), ()


def judge_everyone(run: Run | None, witnesses: Witnesses) -> tuple[Evidence | None, tuple[str, ...]]:
    """Evidence or doubts about a VM whose record does not count: each host there is must be accounted for.

    run: what a record that does not count says; the hosts that it names are asked as well.
    """
    named = run.hosts if run is not None and run.closed is None else ()
    found, doubts = _account_for_run(named, witnesses)
    if doubts or witnesses.unaccounted:
        return None, tuple(sorted({*doubts, *witnesses.unaccounted})) if doubts else witnesses.unaccounted
    hosts = witnesses.everyone
    if found:
        asked = {one.host: one for one in (*hosts, *found)}
        hosts = tuple(asked[uuid] for uuid in sorted(asked))
    return Evidence("hosts", run=run.number if run else 0, hosts=hosts), ()


def doubts_of_run(run: Run | None, witnesses: Witnesses) -> tuple[str, ...]:
    """Ids of the hosts named in an open run that are not accounted for: while a VM runs, they may run it too."""
    if run is None or run.closed is not None:
        return ()
    return _account_for_run(run.hosts, witnesses)[1]


def _account_for_run(
    named: tuple[RunHost, ...], witnesses: Witnesses
) -> tuple[tuple[HostEvidence, ...], tuple[str, ...]]:
    """Evidence by host uuid, and the ids of the hosts for which there is none."""
    found = {}
    doubts = set()
    for host in named:
        account = account_for(host.uuid, host.boot_id, witnesses.hosts, witnesses.off)
        if account is None:
            doubts.add(witnesses.name(host.uuid))
        else:
            found[host.uuid] = account
    return tuple(found[uuid] for uuid in sorted(found)), tuple(sorted(doubts))


def judge_newcomer(
    absent: bool, brand_new: bool, witnesses: Witnesses
) -> tuple[Evidence | None, tuple[str, ...]]:
    """Evidence or doubts about any VM that neither a record nor a host knows.

    absent: it is known that there is no record, so it never ran. In a brand-new data center there is no storage
    to say so yet: then every host says it.
    """
    if absent and not brand_new:
        return Evidence("never-ran"), ()
    return judge_everyone(None, witnesses)
