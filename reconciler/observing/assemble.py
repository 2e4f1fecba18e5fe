"""Turns desired state (who is declared) and reports (who answered what) into `Observed`. The door of this stage.

Pure: ages are given, nothing is read. Called by the pipeline once a pass, with the previous observation in hand.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from nodeagent.wire.records import DiskRecord, VmRecord
from reconciler.model.desired import Desired
from reconciler.model.observed import Observed, VmObservation
from reconciler.model.reports import Reports
from reconciler.observing.domains import Domains, domain_names, observe_storage, survey_domains
from reconciler.observing.evidence import Witnesses, call_witnesses, judge_newcomer
from reconciler.observing.hosts import add_hosts_of_pool, observe_hosts, proofs_that_count
from reconciler.observing.orders import collect_last_orders, collect_open_orders
from reconciler.observing.records import Found, find_disks, find_records
from reconciler.observing.reuse import (
    Carryover,
    compare_ground,
    merge_vms,
    suspect_vms,
    vms_with_other_records,
)
from reconciler.observing.sightings import collect_sightings
from reconciler.observing.vms import observe_vm


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every VM of one observation is judged by; `observed` holds hosts, storage, pool and who is off.

    off: uuids of hosts proven off. adopted: uuids that manifests give to VMs (spec.uuid).
    """

    observed: Observed
    domains: Domains
    witnesses: Witnesses
    off: frozenset[str]
    adopted: frozenset[str]


def assemble(desired: Desired, reports: Reports, previous: Observed | None = None) -> Observed:
    """One observation of a data center from all that was asked and answered.

    The same reports in any order give an equal value, with and without `previous`; with it, what rests on the
    very same documents is taken over. Reports of another data center are the caller's to refuse: here its hosts
    and domains merely do not count.
    """
    ground = _survey(desired, reports)
    carryover = _compare(desired, ground, previous)
    vms = _observe_vms(ground, carryover)
    records_read = _records_read(ground, vms)
    evidence, doubts = judge_newcomer(records_read, ground.domains.standing.brand_new, ground.witnesses)
    seen = replace(
        ground.observed,
        vms=vms,
        records_read=records_read,
        complete=records_read and not ground.witnesses.unaccounted,
        newcomer_evidence=evidence,
        newcomer_doubts=doubts,
    )
    return _with_orders(_with_objects(seen, carryover), ground.off, carryover)


def _survey(desired: Desired, reports: Reports) -> _Ground:
    """Hosts, storage and proofs: all that is judged before any VM is."""
    center = desired.data_center
    reported = observe_hosts(desired, reports.hosts)
    storage = observe_storage(desired, reports, reported)
    domains = survey_domains(center.uuid, domain_names(desired), reported, storage)
    hosts = add_hosts_of_pool(reported, domains.pool.host_ids if domains.pool else {})
    off = proofs_that_count(hosts, reports.proofs)
    witnesses = call_witnesses(hosts.values(), off, domains.lacking)
    observed = Observed(
        data_center=center.meta.id,
        data_center_uuid=center.uuid,
        hosts=hosts,
        storage=storage,
        pool=domains.pool,
        master=next(iter(domains.standing.masters), None),
        off={witnesses.name(uuid): proofs[0].kind for uuid, proofs in off.items()},
    )
    adopted = frozenset(vm.meta.uuid for vm in desired.vms.values() if vm.meta.uuid)
    return _Ground(observed, domains, witnesses, frozenset(off), adopted)


def _compare(desired: Desired, ground: _Ground, previous: Observed | None) -> Carryover | None:
    """What of the previous observation holds still."""
    if previous is None:
        return None
    center = desired.data_center.uuid
    before = survey_domains(center, domain_names(desired), previous.hosts, previous.storage)
    return compare_ground(previous, ground.observed, before.standing, ground.domains.standing)


def _observe_vms(ground: _Ground, carryover: Carryover | None) -> Mapping[str, VmObservation]:
    """Every VM that has a record or was seen, or that a manifest adopts by its uuid, sorted by uuid."""
    if carryover is None:
        return dict(sorted(_judge_vms(ground, None, _find_records(ground, None)).items()))
    previous = carryover.previous
    suspects = suspect_vms(carryover, ground.observed.hosts) | (ground.adopted - previous.vms.keys())
    if carryover.contents:
        found = _find_records(ground, suspects) if suspects else {}
    else:
        found = _find_records(ground, None)
        suspects |= vms_with_other_records(previous, found)
    if not suspects:
        return previous.vms
    return merge_vms(previous.vms, _judge_vms(ground, suspects, found), suspects)


def _find_records(ground: _Ground, wanted: set[str] | None) -> dict[str, Found]:
    center = ground.observed.data_center_uuid
    return find_records(center, ground.observed.storage, ground.domains.standing, wanted)


def _judge_vms(
    ground: _Ground, wanted: set[str] | None, found: Mapping[str, Found]
) -> dict[str, VmObservation]:
    """All VMs, or those wanted as far as anybody knows them."""
    seen = collect_sightings(ground.observed.hosts, ground.off, wanted)
    known = found.keys() | seen.guests.keys() | seen.processes.keys() | seen.hinted | ground.adopted
    none = Found(None, "absent" if ground.domains.standing.absence_known else "unknown")
    return {
        uuid: observe_vm(uuid, found.get(uuid, none), seen, ground.witnesses)
        for uuid in (known if wanted is None else known & wanted)
    }


def _records_read(ground: _Ground, vms: Mapping[str, VmObservation]) -> bool:
    """Whether what has no record here has none: all places were read, and no damaged record may be anybody's."""
    return ground.domains.standing.absence_known and not any(
        vm.record is None and vm.record_state == "unreadable" for vm in vms.values()
    )


def _with_objects(seen: Observed, carryover: Carryover | None) -> Observed:
    """With disks, and the uuids of managed VMs and disks by object id."""
    before = carryover.previous if carryover else None
    if before is not None and carryover is not None and carryover.contents:
        disks, disk_of = before.disks, before.disk_of
    else:
        disks = find_disks(seen.data_center_uuid, seen.storage)
        disk_of = _by_object((image, disk.record) for image, disk in disks.items())
    if before is not None and seen.vms is before.vms:
        vm_of = before.vm_of
    else:
        vm_of = _by_object((uuid, vm.record) for uuid, vm in seen.vms.items())
    return replace(seen, disks=disks, vm_of=vm_of, disk_of=disk_of)


def _by_object(records: Iterable[tuple[str, VmRecord | DiskRecord | None]]) -> dict[str, str]:
    """Object id to uuid of what is managed and not removed, sorted: of several the highest incarnation, then uuid."""
    ranked = [
        (record.object, -record.incarnation, uuid)
        for uuid, record in records
        if record is not None and record.managed and not record.removed
    ]
    ranked.sort(reverse=True)
    return dict(sorted({identifier: uuid for identifier, _, uuid in ranked}.items()))


def _with_orders(seen: Observed, off: frozenset[str], carryover: Carryover | None) -> Observed:
    """With the orders that lock objects, and the mark of each object's last order."""
    if carryover is not None and carryover.documents and seen.vms is carryover.previous.vms:
        before = carryover.previous
        return replace(seen, open_orders=before.open_orders, last_orders=before.last_orders)
    return replace(
        seen,
        open_orders=collect_open_orders(seen.hosts, off),
        last_orders=collect_last_orders(
            seen.hosts,
            [vm.record for vm in seen.vms.values() if vm.record is not None],
            [disk.record for disk in seen.disks.values() if disk.record is not None],
            (seen.data_center, seen.pool) if seen.pool else None,
        ),
    )
