"""Room that is promised but not taken yet: a plan that is being carried out needs it, and another one made meanwhile
must not give it away."""

from collections import Counter
from collections.abc import Iterable, Mapping

from reconciler.model.capacity import vm_footprint
from reconciler.model.change import Identities
from reconciler.model.desired import Desired
from reconciler.model.observed import Observed, Presence, VmObservation
from reconciler.model.placement import Assignment, Claim, Placement
from reconciler.placement.demand import demand_of, growth_of


def find_claims(
    desired: Desired,
    observed: Observed,
    identities: Identities,
    placement: Placement,
    vms: Iterable[str],
    starting: Iterable[str],
) -> dict[str, Claim]:
    """What the plan of a pass needs for some of its VMs: those with steps. starting: those that it has to start.
    Sorted by id."""
    starting = set(starting)
    return {
        name: _claim(desired, observed, identities, placement.assignments[name], name in starting)
        for name in sorted(vms)
        if name in placement.assignments and placement.assignments[name].host is not None
    }


def _claim(
    desired: Desired, observed: Observed, identities: Identities, assignment: Assignment, starts: bool
) -> Claim:
    vm, uuid = desired.vms[assignment.vm], identities.vms[assignment.vm]
    seen = observed.vms.get(uuid)
    growth = growth_of(vm, seen) if seen is not None and seen.host == assignment.host else 0
    demand = demand_of(desired, observed, identities, vm)
    return Claim(assignment, uuid, starts, max(demand.memory_bytes, vm_footprint(vm)), growth)


def standing_claims(claims: Mapping[str, Claim], observed: Observed) -> list[tuple[Claim, int]]:
    """Claims that still count, each with the bytes that facts do not show yet; a VM that failed while it was to move, or
    while it ran, has none."""
    found = ((claim, _left(claim, observed.vms.get(claim.uuid))) for claim in claims.values())
    return [(claim, left) for claim, left in found if left is not None]


def promised_bytes(standing: Iterable[tuple[Claim, int]]) -> dict[str, int]:
    """Bytes that are promised on each host, by id, sorted."""
    taken: Counter[str] = Counter()
    for claim, left in standing:
        taken[str(claim.assignment.host)] += left
    return dict(sorted(taken.items()))


def _left(claim: Claim, seen: VmObservation | None) -> int | None:
    """Bytes still to be taken; None if the claim does not hold any more."""
    if seen is not None and any(one.host == claim.assignment.host for one in seen.guests):
        return claim.growth_bytes
    stopped = seen is None or seen.presence is Presence.NOT_RUNNING
    return None if stopped and not claim.starts else claim.memory_bytes
