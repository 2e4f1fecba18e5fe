"""Assigns a host to every VM that is to run: those that may stay, stay; the others are placed one after another."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler.model.capacity import guest_footprint
from reconciler.model.change import Identities, Power
from reconciler.model.desired import Desired, Mobility, VirtualMachine
from reconciler.model.intents import move_intent
from reconciler.model.observed import Observed, Presence, VmObservation
from reconciler.model.placement import ASKED, Assignment, Claim, Outcome, Placement, turn_of
from reconciler.placement.claims import promised_bytes, standing_claims
from reconciler.placement.demand import VmDemand, demand_of, growth_of
from reconciler.placement.policies import Policy, cluster_policy
from reconciler.placement.selection import dropped_by, select_host
from reconciler.placement.table import HostTable, build_table

START = "start"
Homeless = tuple[VirtualMachine, str]
"""A VM that needs a host, and the rule by which it may not stay where it is, or START."""
Growth = tuple[VirtualMachine, str, int]
"""A VM that takes so many bytes more from the host where it runs."""


def place_vms(
    desired: Desired,
    observed: Observed,
    identities: Identities,
    powers: Mapping[str, Power],
    kept: Mapping[str, Assignment] | None = None,
    claims: Mapping[str, Claim] | None = None,
    closed: frozenset[str] = frozenset(),
) -> Placement:
    """One assignment a VM that is to run. A VM whose presence is unknown gets none: nothing is planned for it.

    kept: assignments of VMs that stay where they are, known from the pass before; they are not looked at again.
    claims: room that plans which are being carried out still need; their VMs are assigned as those plans say.
    closed: hosts that take no new guests.
    """
    standing = standing_claims(claims or {}, observed)
    promised = {one.assignment.vm: one.assignment for one, _ in standing if one.assignment.vm in desired.vms}
    assignments: dict[str, Assignment] = {**(kept or {}), **promised}
    taken = promised_bytes(standing)
    homeless: list[Homeless] = []
    growing: list[Growth] = []
    for name, vm in desired.vms.items():
        if name in assignments:
            continue
        seen = observed.vms.get(identities.vms[name])
        if seen is not None and seen.presence is Presence.UNKNOWN:
            continue
        running = seen is not None and seen.presence is Presence.RUNNING
        if not running and powers[name] is Power.RUN:
            homeless.append((vm, START))
        elif running and powers[name] is not Power.STOP and seen is not None:
            why = reason_to_leave(desired, vm, seen)
            if why is None:
                assignments[name] = Assignment(name, Outcome.STAYS, seen.host, seen.host)
                if seen.host is not None and (more := growth_of(vm, seen)) > 0:
                    growing.append((vm, seen.host, more))
            else:
                homeless.append((vm, why))
    if homeless or growing:
        used = Counter(used_memory(observed)) + Counter(taken)
        hosts = {name: one for name, one in desired.hosts.items() if name not in closed}
        candidates = replace(desired, hosts=hosts) if closed else desired
        assignments.update(_place(candidates, observed, identities, used, growing, homeless))
    return Placement(dict(sorted(assignments.items())), taken)


def reason_to_leave(desired: Desired, vm: VirtualMachine, seen: VmObservation) -> str | None:
    """The rule by which a running VM may not stay where it is, None if it may."""
    host = seen.host
    declared = desired.hosts.get(host or "")
    if declared is None:
        return None
    if move_intent(desired, vm, seen.record, host) is not None:
        return ASKED
    if declared.maintenance:
        return "host-in-maintenance"
    if vm.hosts and host not in vm.hosts:
        return "pinned-to-other-hosts"
    return None


def used_memory(observed: Observed) -> dict[str, int]:
    """Bytes that guests take from each host now, by host id."""
    used: dict[str, int] = {}
    for name, host in observed.hosts.items():
        if host.state is not None:
            used[name] = sum(
                guest_footprint(guest.config) if guest.config else guest.memory_bytes
                for guest in host.state.guests
            )
    return used


def _place(
    desired: Desired,
    observed: Observed,
    identities: Identities,
    used: Mapping[str, int],
    growing: Iterable[Growth],
    homeless: Iterable[Homeless],
) -> dict[str, Assignment]:
    """Room for those that grow where they are, then hosts for the others, each in its turn. used: bytes by host."""
    grounds: dict[str, tuple[Policy, HostTable]] = {}

    def ground_of(vm: VirtualMachine) -> tuple[Policy, HostTable]:
        if vm.cluster not in grounds:
            cluster = desired.clusters[vm.cluster]
            grounds[vm.cluster] = (
                cluster_policy(desired, cluster),
                build_table(desired, observed, cluster, used),
            )
        return grounds[vm.cluster]

    found: dict[str, Assignment] = {}
    for vm, host, more in sorted(growing, key=lambda one: turn_of(one[0], runs=True)):
        if not _grow(ground_of(vm)[1], host, more):
            found[vm.meta.id] = Assignment(vm.meta.id, Outcome.STAYS, host, host, dropped=(("Memory", 1),))
    for vm, why in sorted(homeless, key=lambda one: turn_of(one[0], runs=one[1] != START)):
        found[vm.meta.id] = _assign(demand_of(desired, observed, identities, vm), *ground_of(vm), vm, why)
    return found


def _grow(table: HostTable, host: str, more: int) -> bool:
    """Takes the room that a VM grows by from its host, if there is so much."""
    position = table.position(host)
    if position is not None and more > table.free[position]:
        return False
    if position is not None:
        table.free[position] -= more
    return True


def _assign(demand: VmDemand, policy: Policy, table: HostTable, vm: VirtualMachine, why: str) -> Assignment:
    """One VM's host; the table then counts the VM there, and no longer where it ran."""
    if demand.current is not None and vm.mobility is Mobility.PINNED:
        return Assignment(
            vm.meta.id,
            Outcome.UNPLACED,
            None,
            demand.current,
            why,
            (("Migration not allowed", len(table.ids)),),
        )
    host = select_host(policy, demand, table)
    if host is None:
        return Assignment(
            vm.meta.id, Outcome.UNPLACED, None, demand.current, why, dropped_by(policy, demand, table)
        )
    table.add(demand, host)
    if (own := table.position(demand.current)) is not None:
        table.remove(demand, own)
    outcome = Outcome.STARTS if demand.current is None else Outcome.MOVES
    return Assignment(vm.meta.id, outcome, table.ids[host], demand.current, why)
