"""One pass: the only function that knows all the stages. Pure; called by the CLI, the loop and the simulation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nodeagent.wire.records import Intent
from reconciler.diffing.diff import diff_data_center
from reconciler.diffing.identity import resolve_identities
from reconciler.diffing.power import power_of
from reconciler.model.change import Blocked, Changes, Identities, Power
from reconciler.model.desired import Desired
from reconciler.model.intents import add_intent
from reconciler.model.observed import Observed, OpenOrder
from reconciler.model.placement import Placement
from reconciler.model.plan import Plan
from reconciler.model.reports import Reports
from reconciler.observing.assemble import assemble
from reconciler.placement.assign import place_vms
from reconciler.planning.build import build_plan
from reconciler.version import PLANNER


@dataclass(frozen=True, slots=True)
class PassOptions:
    """What a person allows for this pass, and what earlier applies forbid.

    allow_prune: how many managed objects the manifests may drop at once. begun: orders that an apply began and whose
    end nobody knows; they lock their objects as if an agent had told of them. failing: objects that failed too often
    to be tried once more, with the last failure. paused: reason by object, data center or `*` (everything).
    wishes: what a person asks now, by VM; it is planned as if it stood in the VM's record, and written there.
    """

    allow_prune: int = 0
    begun: tuple[OpenOrder, ...] = ()
    failing: Mapping[str, str] = field(default_factory=dict)
    paused: Mapping[str, str] = field(default_factory=dict)
    wishes: Mapping[str, Intent] = field(default_factory=dict)


EVERYTHING = "*"
"""The scope of a pause that holds all data centers."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Every value that one pass went through; the next one reuses what did not change."""

    desired: Desired
    reports: Reports
    observed: Observed
    identities: Identities
    powers: Mapping[str, Power] = field(default_factory=dict)
    placement: Placement = field(default_factory=Placement)
    changes: Changes = field(default_factory=Changes)
    plan: Plan = field(default_factory=lambda: Plan("", "", ""))


def run_pass(
    desired: Desired, reports: Reports, previous: Pass | None = None, options: PassOptions | None = None
) -> Pass:
    """Desired state and answers to a plan. `previous` saves work and never changes the result."""
    options = options or PassOptions()
    observed = assemble(desired, reports, previous.observed if previous else None)
    identities, doubtful = resolve_identities(desired, observed)
    known, asked = _with_wishes(_with_begun(observed, options.begun), identities, options.wishes)
    powers = {name: power_of(vm, known.vms.get(identities.vms[name]))[0] for name, vm in desired.vms.items()}
    placement = place_vms(desired, known, identities, powers)
    changes = diff_data_center(desired, known, identities, placement, options.allow_prune, doubtful, asked)
    held = (*_block_failing(changes, options.failing), *_block_paused(changes, options.paused))
    if held:
        blocked = (*doubtful, *held)
        changes = diff_data_center(desired, known, identities, placement, options.allow_prune, blocked, asked)
    if whole := _block_everything(desired, changes, options.paused):
        changes = whole
    plan = build_plan(desired, known, identities, placement, changes, PLANNER)
    return Pass(desired, reports, observed, identities, powers, placement, changes, plan)


def _with_begun(observed: Observed, begun: tuple[OpenOrder, ...]) -> Observed:
    """The observation with orders that no agent told of, which lock their objects all the same."""
    if not begun:
        return observed
    return replace(observed, open_orders={**{one.object: one for one in begun}, **observed.open_orders})


def _with_wishes(
    observed: Observed, identities: Identities, wishes: Mapping[str, Intent]
) -> tuple[Observed, frozenset[str]]:
    """The observation with new wishes in the records of their VMs, and the VMs that have a record to hold one."""
    vms = dict(observed.vms)
    asked = set()
    for name, wish in wishes.items():
        seen = vms.get(identities.vms.get(name, ""))
        if seen is not None and seen.record is not None:
            record = replace(seen.record, intents=add_intent(seen.record, wish))
            vms[seen.uuid] = replace(seen, record=record)
            asked.add(name)
    return (replace(observed, vms=vms) if asked else observed), frozenset(asked)


def _block_paused(changes: Changes, paused: Mapping[str, str]) -> tuple[Blocked, ...]:
    """Paused objects to which something would be done."""
    names = {one.object for one in changes.changes} if paused else set()
    return tuple(
        Blocked(name, f"it is paused: {reason}", f"end that with `ostler resume {name}`")
        for name, reason in paused.items()
        if name in names
    )


def _block_everything(desired: Desired, changes: Changes, paused: Mapping[str, str]) -> Changes | None:
    """Nothing at all, while the data center or everything is paused."""
    center = desired.data_center.meta.id
    scope = next((one for one in (EVERYTHING, center) if one in paused), None)
    if scope is None or not (changes.changes or changes.pool):
        return None
    how = "--all" if scope == EVERYTHING else center
    blocked = Blocked(
        center, f"it is paused: {paused[scope]}; nothing is planned", f"end that with `ostler resume {how}`"
    )
    return Changes(
        blocked=(blocked, *changes.blocked),
        deferred=changes.deferred,
        drift=changes.drift,
        master=changes.master,
    )


def _block_failing(changes: Changes, failing: Mapping[str, str]) -> tuple[Blocked, ...]:
    """Objects that would be tried once more although they failed too often."""
    names = {one.object for one in changes.changes} if failing else set()
    return tuple(
        Blocked(name, f"it failed too often: {reason}", f"mend that, then change it or `ostler retry {name}`")
        for name, reason in failing.items()
        if name in names
    )
