"""From surviving hosts and weights to one host: oVirt's rank selection."""

import numpy as np

from reconciler.placement.demand import VmDemand
from reconciler.placement.policies import SchedulingPolicy
from reconciler.placement.table import Booleans, HostTable, Integers


def surviving(policy: SchedulingPolicy, demand: VmDemand, table: HostTable) -> Booleans:
    """Hosts that every filter of the policy keeps."""
    kept = np.ones(len(table.ids), dtype=np.bool_)
    for unit in policy.ordered_filters():
        kept &= unit.keep(demand, table)
        if not kept.any():
            break
    return kept


def dropped_by(policy: SchedulingPolicy, demand: VmDemand, table: HostTable) -> tuple[tuple[str, int], ...]:
    """How many hosts each filter dropped first, in the policy's order; filters that dropped none are left out."""
    left = np.ones(len(table.ids), dtype=np.bool_)
    counts = []
    for unit in policy.ordered_filters():
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


def select_host(policy: SchedulingPolicy, demand: VmDemand, table: HostTable) -> int | None:
    """The host with the highest sum of factor times rank; ties go to the first by id. None if no host is left."""
    kept = surviving(policy, demand, table)
    alive = np.flatnonzero(kept)
    if len(alive) <= 1:
        return int(alive[0]) if len(alive) else None
    total = np.zeros(len(table.ids), dtype=np.int64)
    for unit, factor in policy.weighted_units():
        total += factor * ranks(unit.score(demand, table), kept)
    return int(alive[np.argmax(total[alive])])
