"""A plan cut down to some objects: their steps, and whatever those wait for. Commands on one VM apply no more."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from reconciler.model.desired import Desired
from reconciler.model.observed import Observed
from reconciler.model.plan import Plan, Step
from reconciler.planning.basis import basis_of


def narrow_plan(desired: Desired, observed: Observed, plan: Plan, objects: Collection[str]) -> Plan:
    """The plan with the steps of these objects and all that come before them; its basis is theirs alone."""
    known = {step.id: step for step in plan.steps}
    wanted = _with_predecessors(known, [step.id for step in plan.steps if step.object in objects])
    return _keep(desired, observed, plan, wanted, objects)


def keep_steps(desired: Desired, observed: Observed, plan: Plan, names: Collection[str]) -> Plan:
    """The plan with the named steps and all that come before them."""
    known = {step.id: step for step in plan.steps}
    wanted = _with_predecessors(known, [name for name in names if name in known])
    return _keep(desired, observed, plan, wanted, {known[name].object for name in wanted})


def _keep(
    desired: Desired, observed: Observed, plan: Plan, wanted: Collection[str], objects: Collection[str]
) -> Plan:
    steps = tuple(step for step in plan.steps if step.id in wanted)
    return replace(
        plan,
        steps=steps,
        basis=basis_of(desired, observed, steps),
        blocked=tuple(one for one in plan.blocked if one.object in objects),
        deferred=tuple(one for one in plan.deferred if one.object in objects),
        drift=tuple(one for one in plan.drift if one.object in objects),
    )


def _with_predecessors(known: Mapping[str, Step], names: list[str]) -> set[str]:
    """Ids of steps and of all that they wait for."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [edge.step for edge in known[name].after]
    return found
