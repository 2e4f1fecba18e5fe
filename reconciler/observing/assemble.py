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
from reconciler.observing.hosts import add_hosts_of_pool, observe_hosts
from reconciler.observing.orders import collect_last_orders, collect_open_orders
from reconciler.observing.proofs import find_open_runs, proofs_that_count
from reconciler.observing.records import Found, ages_of_removed, find_disks, find_records
from reconciler.observing.remains import find_remains
from reconciler.observing.reuse import (
    Carryover,
    compare_ground,
    merge_marks,
    merge_vms,
    objects_ordered,
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
    seen = replace(ground.observed, vms=vms)
    seen = _with_objects(_with_newcomers(seen, ground, carryover), carryover)
    remains = find_remains(seen.hosts, seen.storage, seen.vms, reports.wallclock_ms)
    seen = replace(seen, removed_ms=ages_of_removed(seen.disks, reports.wallclock_ms), remains=remains)
    return _with_orders(seen, ground.off, carryover)


def _survey(desired: Desired, reports: Reports) -> _Ground:
    """Hosts, storage and proofs: all that is judged before any VM is."""
    center = desired.data_center
    reported = observe_hosts(desired, reports.hosts, reports.wallclock_ms)
    storage = observe_storage(desired, reports, reported)
    domains = survey_domains(center.uuid, domain_names(desired), reported, storage)
    hosts = add_hosts_of_pool(reported, domains.pool.host_ids if domains.pool else {})
    runs = find_open_runs(center.uuid, reports.storage) if reports.proofs else {}
    off = proofs_that_count(hosts, reports.proofs, runs)
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
        return _judge_vms(ground, None, _find_records(ground, None))
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
    """All VMs, or those wanted as far as anybody knows them, sorted by uuid.

    Records come so as a rule: sorting them anew costs next to nothing, and they are met in the order in which they
    lie in memory.
    """
    seen = collect_sightings(ground.observed.hosts, ground.off, wanted)
    strange = {*seen.guests, *seen.processes, *seen.hinted, *ground.adopted} - found.keys()
    none = Found(None, "absent" if ground.domains.standing.absence_known else "unknown")
    return {
        uuid: observe_vm(uuid, found.get(uuid, none), seen, ground.witnesses)
        for uuid in sorted((*found, *strange))
        if wanted is None or uuid in wanted
    }


def _with_newcomers(seen: Observed, ground: _Ground, carryover: Carryover | None) -> Observed:
    """With what is known of any VM of which nobody has heard.

    What has no record has none anywhere if all places were read, and no damaged record may be anybody's.
    """
    if carryover is not None and carryover.contents:
        read = carryover.previous.records_read
    else:
        read = ground.domains.standing.absence_known and not any(
            vm.record is None and vm.record_state == "unreadable" for vm in seen.vms.values()
        )
    evidence, doubts = judge_newcomer(read, ground.domains.standing.brand_new, ground.witnesses)
    return replace(
        seen,
        records_read=read,
        complete=read and not ground.witnesses.unaccounted,
        newcomer_evidence=evidence,
        newcomer_doubts=doubts,
    )


def _with_objects(seen: Observed, carryover: Carryover | None) -> Observed:
    """With disks, and the uuids of managed VMs and disks by object id: all of it rests on storage alone."""
    if carryover is not None and carryover.contents:
        before = carryover.previous
        return replace(seen, disks=before.disks, vm_of=before.vm_of, disk_of=before.disk_of)
    disks = find_disks(seen.data_center_uuid, seen.storage)
    return replace(
        seen,
        disks=disks,
        vm_of=_by_object((uuid, vm.record) for uuid, vm in seen.vms.items()),
        disk_of=_by_object((image, disk.record) for image, disk in disks.items()),
    )


def _by_object(records: Iterable[tuple[str, VmRecord | DiskRecord | None]]) -> dict[str, str]:
    """Object id to uuid of what is managed and not removed: of several the highest incarnation, then the first uuid.

    records: sorted by uuid.
    """
    best: dict[str, str] = {}
    incarnations: dict[str, int] = {}
    for uuid, record in records:
        if record is None or not record.managed or record.removed:
            continue
        name = record.object
        if name not in best or record.incarnation > incarnations[name]:
            incarnations[name] = record.incarnation
            best[name] = uuid
    return best


def _with_orders(seen: Observed, off: frozenset[str], carryover: Carryover | None) -> Observed:
    """With the orders that lock objects, and the mark of each object's last order."""
    if carryover is not None and carryover.contents and not carryover.changed:
        before = carryover.previous
        return replace(seen, open_orders=before.open_orders, last_orders=before.last_orders)
    records: list[VmRecord | DiskRecord] = [vm.record for vm in seen.vms.values() if vm.record is not None]
    records += [disk.record for disk in seen.disks.values() if disk.record is not None]
    pool = (seen.data_center, seen.pool) if seen.pool else None
    touched = objects_ordered(carryover, seen.hosts) if carryover and carryover.contents else None
    marks: Mapping[str, str] = collect_last_orders(seen.hosts, records, pool, touched)
    if carryover is not None and touched is not None:
        marks = merge_marks(carryover.previous.last_orders, marks, touched)
    return replace(seen, open_orders=collect_open_orders(seen.hosts, off), last_orders=marks)
