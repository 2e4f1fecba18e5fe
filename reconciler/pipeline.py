"""One pass: the only function that knows all the stages. Pure; called by the CLI, the loop and the simulation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

from nodeagent.wire.records import Intent
from reconciler.diffing.deeds import find_deeds
from reconciler.diffing.diff import diff_data_center
from reconciler.diffing.hanging import find_hanging_guests
from reconciler.diffing.holding import find_failing_restarts, hold_back, hold_everything, leave_to_signer
from reconciler.diffing.identity import resolve_identities
from reconciler.diffing.power import power_of
from reconciler.diffing.purges import find_restorable, find_wrong_clocks
from reconciler.diffing.secrets import find_uncompared_secrets
from reconciler.diffing.space import find_halted_guests, find_low_space
from reconciler.model.change import Blocked, Change, Changes, Deferred, Drift, Identities, Power
from reconciler.model.desired import Desired, Disk, VirtualMachine
from reconciler.model.intents import add_intent
from reconciler.model.observed import Observed, OpenOrder
from reconciler.model.options import PassOptions
from reconciler.model.placement import Assignment, Placement
from reconciler.model.plan import Plan
from reconciler.model.reports import Reports
from reconciler.observing.assemble import assemble
from reconciler.placement.assign import place_vms
from reconciler.planning.build import build_plan
from reconciler.version import PLANNER


@dataclass(frozen=True, slots=True)
class Pass:
    """Every value that one pass went through; the next one reuses what did not change.

    quiet: VMs and disks of which this pass found nothing to say, and whose VM, if it runs, stays where it is.
    secret_digests: with which it compared what guests were given.
    """

    desired: Desired
    reports: Reports
    observed: Observed
    identities: Identities
    powers: Mapping[str, Power] = field(default_factory=dict)
    placement: Placement = field(default_factory=Placement)
    changes: Changes = field(default_factory=Changes)
    plan: Plan = field(default_factory=lambda: Plan("", "", ""))
    quiet: frozenset[str] = frozenset()
    secret_digests: Mapping[str, str] | None = None


def run_pass(
    desired: Desired, reports: Reports, previous: Pass | None = None, options: PassOptions | None = None
) -> Pass:
    """Desired state and answers to a plan. `previous` saves work and never changes the result."""
    options = options or PassOptions()
    observed = assemble(desired, reports, previous.observed if previous else None)
    identities, doubtful = resolve_identities(desired, observed)
    locked = replace(_with_begun(observed, options.begun), outdated=options.outdated)
    known, asked = _with_intents(locked, identities, options.intents)
    quiet = _passed_over(previous, desired, observed, options)
    powers = {
        name: previous.powers[name]
        if previous and name in quiet
        else power_of(vm, known.vms.get(identities.vms[name]))[0]
        for name, vm in desired.vms.items()
    }
    kept = kept_assignments(previous.placement, quiet) if previous and quiet else None
    placement = place_vms(desired, known, identities, powers, kept, options.claims, options.closed)
    diff = partial(
        diff_data_center, desired, known, identities, placement, options.allow_prune,
        asked=asked, secret_digests=options.secret_digests, locked=options.locked,
    )  # fmt: skip
    changes = diff(doubtful, quiet=quiet)
    changes, unsigned = leave_to_signer(changes, options)
    alerts = (
        *unsigned,
        *find_low_space(desired, known),
        *find_halted_guests(desired, known),
        *find_hanging_guests(known),
        *find_deeds(known),
        *find_wrong_clocks(desired, known),
        *find_restorable(known, identities),
        *find_uncompared_secrets(desired, known, identities, options.secret_digests),
        *find_failing_restarts(changes, options.failing),
    )
    held = tuple(hold_back(changes, options))
    if held:
        changes, _ = leave_to_signer(diff((*doubtful, *held)), options)
    whole = hold_everything(desired, changes, options)
    changes = whole or changes
    plan = build_plan(desired, known, identities, placement, changes, PLANNER, alerts)
    calm = find_quiet(desired, changes) if not held and not whole and not options.claims else frozenset()
    return Pass(
        desired, reports, observed, identities, powers, placement, changes, plan, calm, options.secret_digests
    )


def _passed_over(
    previous: Pass | None, desired: Desired, observed: Observed, options: PassOptions
) -> frozenset[str]:
    """What need not be looked at again; everything is, under options that a pass does not have as a rule."""
    usual = options == PassOptions(signs=options.signs, secret_digests=options.secret_digests)
    if previous is None or not usual or previous.secret_digests != options.secret_digests:
        return frozenset()
    return still_quiet(previous, desired, observed)


def still_quiet(previous: Pass, desired: Desired, observed: Observed) -> frozenset[str]:
    """What need not be looked at again: it was quiet, and neither it nor anything that it rests on has changed.

    Only for the very same observation, part by part, and the same clusters, hosts, networks and storage domains;
    otherwise nothing is passed over. A VM rests on its disks as well.
    """
    before = previous.desired
    same_ground = same_facts(previous.observed, observed) and all(
        getattr(before, one) == getattr(desired, one)
        for one in ("data_center", "clusters", "hosts", "networks", "storage_domains")
    )
    if not same_ground:
        return frozenset()
    changed = _changed(before.vms, desired.vms) | _changed(before.disks, desired.disks)
    disks = {one for one in changed if one in desired.disks}
    users = (
        {name for name, vm in desired.vms.items() if any(one.disk in disks for one in vm.disks)}
        if disks
        else set()
    )
    gone = (before.vms.keys() - desired.vms.keys()) | (before.disks.keys() - desired.disks.keys())
    return frozenset() if gone else previous.quiet - (changed | users)


def same_facts(before: Observed, now: Observed) -> bool:
    """Whether all that VMs and disks are judged by is the same: the very same parts, and hosts but for their ages."""
    same = all(getattr(before, one) is getattr(now, one) for one in ("vms", "disks", "vm_of", "disk_of"))
    names = ("pool", "master", "open_orders", "off", "records_read", "newcomer_evidence", "newcomer_doubts")
    return (
        same
        and all(getattr(before, one) == getattr(now, one) for one in names)
        and before.hosts.keys() == now.hosts.keys()
        and before.storage.keys() == now.storage.keys()
        and all(
            (one.status, one.detail) == (now.hosts[name].status, now.hosts[name].detail)
            and one.state is now.hosts[name].state
            for name, one in before.hosts.items()
        )
        and all(one.contents is now.storage[uuid].contents for uuid, one in before.storage.items())
    )


def _changed(
    before: Mapping[str, VirtualMachine | Disk], now: Mapping[str, VirtualMachine | Disk]
) -> set[str]:
    """Names whose declaration is another one than before; its digest covers all but its place."""
    if before is now:
        return set()
    others = {name: one for name, one in now.items() if one is not before.get(name)}
    return {
        name
        for name, one in others.items()
        if name not in before or one.meta.digest != before[name].meta.digest
    }


def kept_assignments(placement: Placement, quiet: frozenset[str]) -> dict[str, Assignment]:
    """Assignments of quiet VMs: each stays where it is."""
    return {name: one for name, one in placement.assignments.items() if name in quiet}


def find_quiet(desired: Desired, changes: Changes) -> frozenset[str]:
    """VMs and disks that no finding is about; none if the data center was blocked as a whole."""
    groups: tuple[Iterable[Change | Blocked | Deferred | Drift], ...] = (
        changes.changes, changes.blocked, changes.deferred, changes.drift,
    )  # fmt: skip
    named = {one.object for group in groups for one in group}
    if desired.data_center.meta.id in named:
        return frozenset()
    return frozenset(chain(desired.vms, desired.disks)).difference(named)


def _with_begun(observed: Observed, begun: tuple[OpenOrder, ...]) -> Observed:
    """The observation with orders that no agent told of, which lock their objects all the same."""
    if not begun:
        return observed
    return replace(observed, open_orders={**{one.object: one for one in begun}, **observed.open_orders})


def _with_intents(
    observed: Observed, identities: Identities, intents: Mapping[str, Intent]
) -> tuple[Observed, frozenset[str]]:
    """The observation with new intents in the records of their VMs, and the VMs that have a record to hold one."""
    vms = dict(observed.vms)
    asked = set()
    for name, intent in intents.items():
        seen = vms.get(identities.vms.get(name, ""))
        if seen is not None and seen.record is not None:
            record = replace(seen.record, intents=add_intent(seen.record, intent))
            vms[seen.uuid] = replace(seen, record=record)
            asked.add(name)
    return (replace(observed, vms=vms) if asked else observed), frozenset(asked)
