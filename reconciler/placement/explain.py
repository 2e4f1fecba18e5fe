"""Why a VM is where it is, and why not elsewhere: filter by filter, weight by weight."""

import numpy as np

from reconciler.model.change import Identities
from reconciler.model.desired import Desired
from reconciler.model.observed import Observed
from reconciler.model.placement import Explanation, HostVerdict, Placement, WeightScore
from reconciler.placement.assign import used_memory
from reconciler.placement.demand import VmDemand, demand_of
from reconciler.placement.policies import Policy, cluster_policy
from reconciler.placement.selection import ranks, surviving, totals
from reconciler.placement.table import HostTable, build_table


def explain_vm(
    desired: Desired, observed: Observed, identities: Identities, placement: Placement, vm: str
) -> Explanation:
    """Every host of the VM's cluster for this VM, judged beside all other VMs as they are placed."""
    declared = desired.vms[vm]
    demand = demand_of(desired, observed, identities, declared)
    table = build_table(desired, observed, desired.clusters[declared.cluster], used_memory(observed))
    _add_others(desired, observed, identities, placement, table, vm)
    if (own := table.position(demand.current)) is not None:
        table.remove(demand, own)
    policy = cluster_policy(desired, desired.clusters[declared.cluster])
    verdicts = [*_judge(policy, demand, table), *_not_candidates(desired, observed, table, declared.cluster)]
    return Explanation(vm, placement.assignments.get(vm), tuple(sorted(verdicts, key=lambda one: (one.filter is not None, -one.total, one.host))))  # fmt: skip


def _add_others(
    desired: Desired,
    observed: Observed,
    identities: Identities,
    placement: Placement,
    table: HostTable,
    vm: str,
) -> None:
    """Counts VMs that this pass starts or moves where it wants them."""
    for name, one in placement.assignments.items():
        if name == vm or one.host == one.current:
            continue
        demand = demand_of(desired, observed, identities, desired.vms[name])
        if (new := table.position(one.host)) is not None:
            table.add(demand, new)
        if (old := table.position(one.current)) is not None:
            table.remove(demand, old)


def _judge(policy: Policy, demand: VmDemand, table: HostTable) -> list[HostVerdict]:
    """Verdicts of the candidate hosts."""
    kept = surviving(policy, demand, table)
    scored = [(unit.name, factor, unit.score(demand, table)) for unit, factor in policy.weights]
    total = totals(policy, demand, table, kept)
    verdicts = []
    for position, name in enumerate(table.ids):
        if not kept[position]:
            verdicts.append(_dropped(policy, demand, table, position, name))
            continue
        weights = tuple(
            WeightScore(unit, int(scores[position]), int(ranks(scores, kept)[position]), factor)
            for unit, factor, scores in scored
        )
        verdicts.append(HostVerdict(name, weights=weights, total=int(total[position])))
    return verdicts


def _dropped(policy: Policy, demand: VmDemand, table: HostTable, position: int, name: str) -> HostVerdict:
    """The first filter that dropped a host, with its reason."""
    for unit in policy.filters:
        if not bool(np.asarray(unit.keep(demand, table))[position]):
            return HostVerdict(name, unit.name, unit.reason(demand, table, position))
    return HostVerdict(name, "?", "no filter drops it")


def _not_candidates(
    desired: Desired, observed: Observed, table: HostTable, cluster: str
) -> list[HostVerdict]:
    """Hosts of the cluster that no filter was asked about."""
    found = []
    for name, host in desired.hosts.items():
        if host.cluster != cluster or name in table.index:
            continue
        seen = observed.hosts.get(name)
        if host.maintenance:
            found.append(HostVerdict(name, "Maintenance", "the host is to be in maintenance"))
        elif seen is None or not seen.answering:
            found.append(
                HostVerdict(name, "Up", f"the host does not answer ({seen.status if seen else 'unknown'})")
            )
        else:
            found.append(HostVerdict(name, "Up", "another machine answers at its address"))
    return found
