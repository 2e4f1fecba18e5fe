"""The whole diff of a data center, object by object in id order."""

from collections.abc import Iterable, Iterator

from nodeagent.wire.guest import GuestConfig
from nodeagent.wire.records import DiskRecord, PoolRecord, VmRecord
from reconciler.diffing.context import DiffContext, Finding, find_workers, master_of, occupied_domains
from reconciler.diffing.hosts import diff_host
from reconciler.diffing.records import disk_record, used_macs
from reconciler.diffing.removals import block_mass_removal, diff_vanished, find_vanished
from reconciler.diffing.storage import diff_disk, diff_pool, diff_storage_domain
from reconciler.diffing.vms import diff_vm
from reconciler.model.change import Blocked, Change, Changes, Deferred, Drift, Identities, Verb
from reconciler.model.desired import Desired
from reconciler.model.observed import Observed
from reconciler.model.placement import Placement

WRITES_RECORD = frozenset({Verb.CREATE, Verb.ADOPT, Verb.UPDATE, Verb.RESTORE})


def diff_data_center(
    desired: Desired,
    observed: Observed,
    identities: Identities,
    placement: Placement,
    allow_prune: int = 0,
) -> Changes:
    """All that must become different. Blocked as a whole if the manifests drop more than may vanish at once."""
    context = DiffContext(
        desired,
        observed,
        identities,
        placement,
        macs=used_macs(desired, observed),
        master=master_of(desired, observed),
        workers=find_workers(desired, observed),
        occupied=occupied_domains(observed),
    )
    mass = block_mass_removal(context, allow_prune)
    if mass is not None:
        return Changes(blocked=(mass,), master=context.master)
    guests: dict[str, GuestConfig] = {}
    records: dict[str, VmRecord] = {}
    findings = list(_infrastructure(context))
    for name, vm in desired.vms.items():
        result = diff_vm(context, vm)
        findings.extend(result.findings)
        if result.findings and result.guest is not None and result.record is not None:
            guests[name], records[name] = result.guest, result.record
    for record in find_vanished(context):
        findings.extend(diff_vanished(context, record))
    findings.extend(_strangers(context))
    findings = _without_locked(context, findings)
    pool = diff_pool(context, _domains_to_make(context, findings))
    return _collect(findings, guests, records, _disk_records(context, findings), context, pool)


def _infrastructure(context: DiffContext) -> Iterator[Finding]:
    """Storage domains, hosts, disks."""
    for domain in context.desired.storage_domains.values():
        yield from diff_storage_domain(context, domain)
    for host in context.desired.hosts.values():
        yield from diff_host(context, host)
    for disk in context.desired.disks.values():
        yield from diff_disk(context, disk)


def _domains_to_make(context: DiffContext, findings: Iterable[Finding]) -> frozenset[str]:
    """Uuids of the storage domains that this plan makes."""
    declared = context.desired.storage_domains
    return frozenset(
        declared[one.object].uuid
        for one in findings
        if isinstance(one, Change) and one.verb is Verb.CREATE and one.object in declared
    )


def _strangers(context: DiffContext) -> Iterator[Finding]:
    """Guests that nobody declared: reported, never touched."""
    claimed = set(context.identities.vms.values())
    for uuid, seen in context.observed.vms.items():
        if uuid not in claimed and seen.record is None and seen.guests:
            where = ", ".join(one.host for one in seen.guests)
            title = seen.guests[0].facts.title or uuid
            yield Drift(
                f"guest/{uuid}",
                f"{title} runs on {where} and no manifest declares it",
                f'left alone; adopt it with spec.uuid: "{uuid}"',
            )


def _without_locked(context: DiffContext, findings: Iterable[Finding]) -> list[Finding]:
    """Findings without the changes of objects that an order not yet ended has locked; those are deferred."""
    kept: list[Finding] = []
    locked: dict[str, Deferred] = {}
    for one in findings:
        order = context.observed.open_orders.get(one.object) if isinstance(one, Change) else None
        if order is None:
            kept.append(one)
        else:
            locked[one.object] = Deferred(
                one.object,
                f"order {order.kind} is {order.state} on {order.host}",
                "it has ended, or was settled",
            )
    return [*kept, *locked.values()]


def _disk_records(context: DiffContext, findings: Iterable[Finding]) -> dict[str, DiskRecord]:
    """Records of the disks that this plan makes or changes."""
    records = {}
    for one in findings:
        if isinstance(one, Change) and one.verb in WRITES_RECORD and one.object in context.desired.disks:
            disk = context.desired.disks[one.object]
            seen = context.observed.disks.get(context.identities.disks[one.object])
            records[one.object] = disk_record(context.desired, context.identities, disk, seen)
    return records


def _collect(
    findings: Iterable[Finding],
    guests: dict[str, GuestConfig],
    records: dict[str, VmRecord],
    disk_records: dict[str, DiskRecord],
    context: DiffContext,
    pool: PoolRecord | None,
) -> Changes:
    """Findings sorted into the value that planning reads."""
    every = list(findings)
    return Changes(
        changes=tuple(one for one in every if isinstance(one, Change)),
        blocked=tuple(one for one in every if isinstance(one, Blocked)),
        deferred=tuple(one for one in every if isinstance(one, Deferred)),
        drift=tuple(one for one in every if isinstance(one, Drift)),
        guests=guests,
        records=records,
        disk_records=disk_records,
        master=context.master,
        pool=pool,
    )
