"""The whole diff of a data center, object by object in id order."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from nodeagent.wire.records import DiskRecord
from reconciler.diffing.abilities import find_abilities
from reconciler.diffing.bridges import block_renames, bridges_in_use, effective_bridges
from reconciler.diffing.context import DiffContext, Finding, find_having, find_workers, master_of
from reconciler.diffing.hostids import assign_host_ids
from reconciler.diffing.hosts import diff_host
from reconciler.diffing.lostmaster import block_emptied_master
from reconciler.diffing.macs import MacLedger, mac_holders
from reconciler.diffing.purges import diff_purges, diff_remains
from reconciler.diffing.records import disk_record
from reconciler.diffing.removals import block_mass_removal, diff_vanished, find_vanished
from reconciler.diffing.sharing import withhold_shared
from reconciler.diffing.storage import diff_disk, diff_pool, diff_storage_domain
from reconciler.diffing.vms import VmDiff, diff_vm
from reconciler.diffing.withholding import unusable_disks, withhold_locked, withhold_undrained
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
    doubtful: tuple[Blocked | Deferred, ...] = (),
    asked: frozenset[str] = frozenset(),
    quiet: frozenset[str] = frozenset(),
    secret_digests: Mapping[str, str] | None = None,
    locked: Mapping[str, str] | None = None,
) -> Changes:
    """All that must become different. Blocked as a whole if the manifests drop more than may vanish at once, or if the
    records are lost.

    doubtful: objects that must wait, such as those whose identity a person must settle; nothing is planned for them. asked: VMs in whose
    records `observed` holds an intent that is not on storage yet. quiet: VMs and disks of which the pass before found
    nothing to say, and of which nothing has changed since; they are not looked at again. secret_digests: HMACs of the
    secrets that can be read, by reference. locked: objects that a plan which is being carried out is about, with why.
    """
    in_use = bridges_in_use(desired, observed)
    bare = _context_of(desired, observed, identities, placement, effective_bridges(desired, in_use))
    context = replace(bare, asked=asked, secret_digests=secret_digests or {}, locked=locked or {})
    vanished = find_vanished(context)
    whole = block_emptied_master(context) or block_mass_removal(context, vanished, allow_prune)
    if whole is not None:
        return Changes(blocked=(whole,), master=context.master)
    unsettled = {one.object for one in doubtful}
    findings: list[Finding] = [*doubtful, *block_renames(desired, in_use)]
    findings += (one for one in _infrastructure(context, quiet) if one.object not in unsettled)
    findings = withhold_locked(context, findings)
    context = replace(context, unusable=unusable_disks(context, findings))
    passed_over = unsettled | quiet
    diffs = {name: diff_vm(context, vm) for name, vm in desired.vms.items() if name not in passed_over}
    rest = [one for diff in diffs.values() for one in diff.findings]
    rest += (one for record in vanished for one in diff_vanished(context, record))
    rest += diff_purges(context)
    rest += diff_remains(context)
    rest += _strangers(context)
    rest = withhold_shared(context, withhold_locked(context, rest))
    findings = withhold_undrained(context, [*findings, *rest])
    return _collect(context, findings, diffs)


def _context_of(
    desired: Desired,
    observed: Observed,
    identities: Identities,
    placement: Placement,
    bridges: Mapping[str, str],
) -> DiffContext:
    """What every part of the diff looks at, found once. bridges: by network, the name that holds in this plan."""
    context = DiffContext(
        desired,
        observed,
        identities,
        placement,
        macs=MacLedger(lambda: mac_holders(desired, observed)),
        master=master_of(desired, observed),
        workers=find_workers(desired, observed),
        bridges=bridges,
        domains={one.uuid: one for one in desired.storage_domains.values()},
        names={uuid: name for name, uuid in identities.vms.items()},
        abilities=find_abilities(desired, observed),
        having=find_having(desired, observed),
    )
    return replace(context, host_ids=assign_host_ids(context))


def _infrastructure(context: DiffContext, quiet: frozenset[str]) -> Iterator[Finding]:
    """Storage domains, hosts, disks."""
    for domain in context.desired.storage_domains.values():
        yield from diff_storage_domain(context, domain)
    for host in context.desired.hosts.values():
        yield from diff_host(context, host)
    for name, disk in context.desired.disks.items():
        if name not in quiet:
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
    for uuid, seen in context.observed.vms.items():
        if uuid not in context.names and seen.record is None and seen.guests:
            where = ", ".join(one.host for one in seen.guests)
            title = seen.guests[0].facts.title or uuid
            yield Drift(
                f"guest/{uuid}",
                f"{title} runs on {where} and no manifest declares it",
                f'left alone; adopt it with spec.uuid: "{uuid}"',
            )


def _disk_records(context: DiffContext, findings: Iterable[Finding]) -> dict[str, DiskRecord]:
    """Records of the disks that this plan makes or changes."""
    records = {}
    for one in findings:
        if isinstance(one, Change) and one.verb in WRITES_RECORD and one.object in context.desired.disks:
            disk = context.desired.disks[one.object]
            seen = context.observed.disks.get(context.identities.disks[one.object])
            records[one.object] = disk_record(context.desired, context.identities, disk, seen)
    return records


def _collect(context: DiffContext, findings: Sequence[Finding], diffs: Mapping[str, VmDiff]) -> Changes:
    """Findings sorted into the value that planning reads, with what the changes carry."""
    made = {name: diff for name, diff in diffs.items() if diff.findings}
    return Changes(
        changes=tuple(one for one in findings if isinstance(one, Change)),
        blocked=tuple(one for one in findings if isinstance(one, Blocked)),
        deferred=tuple(one for one in findings if isinstance(one, Deferred)),
        drift=tuple(one for one in findings if isinstance(one, Drift)),
        guests={name: diff.guest for name, diff in made.items() if diff.guest is not None},
        records={name: diff.record for name, diff in made.items() if diff.record is not None},
        disk_records=_disk_records(context, findings),
        master=context.master,
        pool=diff_pool(context, _domains_to_make(context, findings)),
    )
