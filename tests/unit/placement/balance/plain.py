"""The score in plain Python, one host and one VM after another: the oracle for the arrays."""

from math import hypot
from statistics import fmean

from reconciler.placement.balance.score import BEND, FINE, WITHIN, Weights
from reconciler.placement.balance.state import ClusterState


def plain_score(state: ClusterState, weights: Weights) -> float:
    hosts, vms = state.hosts, state.vms
    counted = [one for one in range(len(hosts.cpus)) if hosts.receives[one] or hosts.sends[one]]
    there = {host: [vm for vm in range(len(vms.host)) if vms.host[vm] == host] for host in counted}
    number = max(1.0, sum(map(len, there.values())) / max(1, len(counted)))
    shares = [
        (weights.memory, weights.even, [sum(vms.memory_bytes[there[h]]) / hosts.memory_bytes[h] for h in counted]),
        (weights.load, 0.0, [
            (sum(vms.load_percent[there[h]]) + hosts.extra_load_percent[h]) / (100 * hosts.cpus[h]) for h in counted
        ]),
        (weights.vcpus, weights.even, [sum(vms.vcpus[there[h]]) / hosts.cpus[h] for h in counted]),
        (weights.number, 0.0, [len(there[h]) / number for h in counted]),
    ]  # fmt: skip
    spreads = sum(
        weight * plain_points([float(one) for one in values], even) for weight, even, values in shares
    )
    return spreads + weights.spare * plain_shortage(state, counted)


def plain_points(values: list[float], even: float) -> float:
    mean = fmean(values)
    spread = float((fmean([(one - mean) ** 2 for one in values]) + FINE**2) ** 0.5 - FINE)
    return WITHIN * spread + (1 - WITHIN) * (plain_beyond(spread, even) - plain_beyond(0.0, even))


def plain_beyond(spread: float, even: float) -> float:
    """max(0, spread - even) with its corner rounded off."""
    return (spread - even + hypot(spread - even, BEND * even)) / 2


def plain_shortage(state: ClusterState, counted: list[int]) -> float:
    """For clusters with at most eight sizes of VMs."""
    return fmean([plain_missing(state, lost) for lost in counted])


def plain_missing(state: ClusterState, lost: int) -> float:
    """The share of a host's memory that its loss would leave homeless, by the size that shows it best."""
    hosts, vms = state.hosts, state.vms
    free = [int(one) for one in hosts.memory_bytes]
    for vm, host in enumerate(vms.host):
        free[host] -= int(vms.memory_bytes[vm])
    worst = 0
    for size in {int(one) for one in vms.memory_bytes}:
        needed = sum(
            int(vms.memory_bytes[vm]) // size
            for vm, host in enumerate(vms.host)
            if host == lost and vms.restarts[vm]
        )
        offered = sum(
            max(0, one) // size for host, one in enumerate(free) if host != lost and hosts.receives[host]
        )
        worst = max(worst, (needed - offered) * size)
    return worst / float(hosts.memory_bytes[lost])
