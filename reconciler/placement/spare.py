"""Whether a cluster could lose any one of its hosts: `plan --require n+1` asks it once the plan is made.

A lost host's VMs are placed anew by the same filters, weights and capacities as any VM that starts.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

from reconciler.model.capacity import guest_footprint
from reconciler.model.change import Identities, Power
from reconciler.model.desired import Desired, RunPolicy, VirtualMachine
from reconciler.model.observed import Observed, Presence
from reconciler.model.placement import Homeless, Outcome, Placement, Shortfall, turn_of
from reconciler.placement.assign import used_memory
from reconciler.placement.demand import VmDemand, demand_of, growth_of
from reconciler.placement.policies import cluster_policy
from reconciler.placement.selection import dropped_by, select_host
from reconciler.placement.table import UNKNOWN, build_table

RESTARTED = frozenset({RunPolicy.ALWAYS, RunPolicy.RESTART_ON_FAILURE})


def find_shortfalls(
    desired: Desired,
    observed: Observed,
    identities: Identities,
    powers: Mapping[str, Power],
    placement: Placement,
) -> tuple[Shortfall, ...]:
    """Every single host, with the VMs that its loss would leave without a place once the plan is carried out; by host
    and cluster. Only VMs count whose run policy restarts them."""
    used = used_after(desired, observed, identities, powers, placement)
    there: dict[str, list[VirtualMachine]] = defaultdict(list)
    for name, one in placement.assignments.items():
        vm, where = desired.vms[name], one.host or one.current
        if where is not None and vm.run_policy in RESTARTED:
            there[where].append(vm)
    found: list[Shortfall] = []
    for host in sorted(there):
        demands = [
            (vm, _restarted(demand_of(desired, observed, identities, vm), vm, host))
            for vm in sorted(there[host], key=lambda vm: turn_of(vm, runs=False))
        ]
        found += _without(desired, observed, used, host, demands)
    return tuple(found)


def used_after(
    desired: Desired,
    observed: Observed,
    identities: Identities,
    powers: Mapping[str, Power],
    placement: Placement,
) -> dict[str, int]:
    """Bytes that guests take from each host once the plan has started, stopped, moved and grown them, by host id."""
    used = defaultdict(int, used_memory(observed))
    for name, vm in desired.vms.items():
        seen = observed.vms.get(identities.vms[name])
        config = seen.guest.config if seen is not None and seen.guest is not None else None
        one = placement.assignments.get(name)
        if seen is not None and seen.presence is Presence.RUNNING and powers[name] is Power.STOP:
            used[str(seen.host)] -= guest_footprint(config) if config else 0
        elif one is None or one.host is None:
            continue
        elif one.outcome is Outcome.STAYS and seen is not None:
            used[one.host] += growth_of(vm, seen)
        elif one.outcome in (Outcome.STARTS, Outcome.MOVES):
            demand = demand_of(desired, observed, identities, vm)
            used[one.host] += demand.memory_bytes
            used[str(one.current)] -= demand.released_bytes
    return dict(used)


def _restarted(demand: VmDemand, vm: VirtualMachine, host: str) -> VmDemand:
    """What a VM asks for after the loss of its host: it runs nowhere, and its TPM's state is lost with the host."""
    bound = frozenset({host}) if vm.tpm else frozenset()
    return replace(demand, current=None, released_bytes=0, away=False, destination=None, bound=bound)


def _without(
    desired: Desired,
    observed: Observed,
    used: Mapping[str, int],
    host: str,
    demands: list[tuple[VirtualMachine, VmDemand]],
) -> Iterator[Shortfall]:
    """The shortfall of the loss of one host, for each cluster of its VMs."""
    rest = replace(desired, hosts={name: one for name, one in desired.hosts.items() if name != host})
    tables = {
        name: build_table(rest, observed, desired.clusters[name], used)
        for name in {vm.cluster for vm, _ in demands}
    }
    policies = {name: cluster_policy(desired, desired.clusters[name]) for name in tables}
    for table in tables.values():
        table.physical[:] = UNKNOWN  # it is free now, and `used` is what the plan leaves
    homeless: dict[str, list[Homeless]] = defaultdict(list)
    for vm, demand in demands:
        table = tables[vm.cluster]
        policy = policies[vm.cluster]
        place = select_host(policy, demand, table)
        if place is None:
            homeless[vm.cluster].append(Homeless(vm.meta.id, dropped_by(policy, demand, table)))
        else:
            table.add(demand, place)
    for cluster in sorted(homeless):
        yield Shortfall(cluster, host, tuple(homeless[cluster]))
