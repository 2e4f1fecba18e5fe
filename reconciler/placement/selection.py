"""From surviving hosts and weights to one host: oVirt's rank selection, or the least sum of scores."""

import numpy as np

from reconciler.placement.demand import VmDemand
from reconciler.placement.policies import Policy
from reconciler.placement.table import Booleans, HostTable, Integers


def surviving(policy: Policy, demand: VmDemand, table: HostTable) -> Booleans:
    """Hosts that every filter of the policy keeps."""
    kept = np.ones(len(table.ids), dtype=np.bool_)
    for unit in policy.filters:
        kept &= unit.keep(demand, table)
        if not kept.any():
            break
    return kept


def dropped_by(policy: Policy, demand: VmDemand, table: HostTable) -> tuple[tuple[str, int], ...]:
    """How many hosts each filter dropped first, in the policy's order; filters that dropped none are left out."""
    left = np.ones(len(table.ids), dtype=np.bool_)
    counts = []
    for unit in policy.filters:
        kept = left & unit.keep(demand, table)
        if (gone := int(left.sum() - kept.sum())) > 0:
            counts.append((unit.name, gone))
        left = kept
    return tuple(counts)


def ranks(scores: Integers, kept: Booleans) -> Integers:
    """(N-1) minus the number of surviving hosts with a strictly lower score; higher is better."""
    alive = np.sort(scores[kept])
    lower = np.searchsorted(alive, scores, side="left")
    return np.where(kept, len(alive) - 1 - lower, 0)


def totals(policy: Policy, demand: VmDemand, table: HostTable, kept: Booleans) -> Integers:
    """For each host the sum over weight units, of factor times rank, or of factor times negated score; highest is best."""
    total = np.zeros(len(table.ids), dtype=np.int64)
    for unit, factor in policy.weights:
        scores = unit.score(demand, table)
        total += factor * (ranks(scores, kept) if policy.selector == "RankSelector" else -scores)
    return total


def select_host(policy: Policy, demand: VmDemand, table: HostTable) -> int | None:
    """The host with the highest total; ties go to the first by id. None if no host is left."""
    kept = surviving(policy, demand, table)
    alive = np.flatnonzero(kept)
    if len(alive) <= 1:
        return int(alive[0]) if len(alive) else None
    return int(alive[np.argmax(totals(policy, demand, table, kept)[alive])])
