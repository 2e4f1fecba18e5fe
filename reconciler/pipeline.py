"""One pass: the only function that knows all the stages. Pure; called by the CLI, the loop and the simulation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.diffing.diff import diff_data_center
from reconciler.diffing.identity import resolve_identities
from reconciler.diffing.power import power_of
from reconciler.model.change import Blocked, Changes, Identities, Power
from reconciler.model.desired import Desired
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
    to be tried once more, with the last failure.
    """

    allow_prune: int = 0
    begun: tuple[OpenOrder, ...] = ()
    failing: Mapping[str, str] = field(default_factory=dict)


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
    powers = {
        name: power_of(vm, observed.vms.get(identities.vms[name]))[0] for name, vm in desired.vms.items()
    }
    placement = place_vms(desired, observed, identities, powers)
    known = _with_begun(observed, options.begun)
    changes = diff_data_center(desired, known, identities, placement, options.allow_prune, doubtful)
    failing = _block_failing(changes, options.failing)
    if failing:
        blocked = (*doubtful, *failing)
        changes = diff_data_center(desired, known, identities, placement, options.allow_prune, blocked)
    plan = build_plan(desired, observed, identities, placement, changes, PLANNER)
    return Pass(desired, reports, observed, identities, powers, placement, changes, plan)


def _with_begun(observed: Observed, begun: tuple[OpenOrder, ...]) -> Observed:
    """The observation with orders that no agent told of, which lock their objects all the same."""
    if not begun:
        return observed
    return replace(observed, open_orders={**{one.object: one for one in begun}, **observed.open_orders})


def _block_failing(changes: Changes, failing: Mapping[str, str]) -> tuple[Blocked, ...]:
    """Objects that would be tried once more although they failed too often."""
    names = {one.object for one in changes.changes} if failing else set()
    return tuple(
        Blocked(name, f"it failed too often: {reason}", f"mend that, then change it or `ostler retry {name}`")
        for name, reason in failing.items()
        if name in names
    )
