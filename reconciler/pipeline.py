"""One pass: the only function that knows all the stages. Pure; called by the CLI, the loop and the simulation."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.diffing.diff import diff_data_center
from reconciler.diffing.identity import resolve_identities
from reconciler.diffing.power import power_of
from reconciler.model.change import Changes, Identities, Power
from reconciler.model.desired import Desired
from reconciler.model.observed import Observed
from reconciler.model.placement import Placement
from reconciler.model.plan import Plan
from reconciler.model.reports import Reports
from reconciler.observing.assemble import assemble
from reconciler.placement.assign import place_vms
from reconciler.planning.build import build_plan
from reconciler.version import PLANNER


@dataclass(frozen=True, slots=True)
class PassOptions:
    """What a person allows for this pass. allow_prune: how many managed objects the manifests may drop at once."""

    allow_prune: int = 0


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
    changes = diff_data_center(desired, observed, identities, placement, options.allow_prune, doubtful)
    plan = build_plan(desired, observed, identities, placement, changes, PLANNER)
    return Pass(desired, reports, observed, identities, powers, placement, changes, plan)
