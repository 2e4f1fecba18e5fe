"""Assigns a host to every VM that is to run: those that may stay, stay; the others are placed one after another."""

from collections.abc import Iterable, Mapping

from reconciler.model.capacity import guest_footprint
from reconciler.model.change import Identities, Power
from reconciler.model.desired import Desired, Mobility, VirtualMachine
from reconciler.model.observed import Observed, Presence, VmObservation
from reconciler.model.placement import Assignment, Outcome, Placement
from reconciler.placement.demand import VmDemand, demand_of
from reconciler.placement.policies import NONE
from reconciler.placement.selection import dropped_by, select_host
from reconciler.placement.table import HostTable, build_table


def place_vms(
    desired: Desired, observed: Observed, identities: Identities, powers: Mapping[str, Power]
) -> Placement:
    """One assignment a VM that is to run. A VM whose presence is unknown gets none: nothing is planned for it."""
    assignments: dict[str, Assignment] = {}
    homeless: list[tuple[VirtualMachine, VmObservation | None, str]] = []
    for name, vm in desired.vms.items():
        seen = observed.vms.get(identities.vms[name])
        if seen is not None and seen.presence is Presence.UNKNOWN:
            continue
        running = seen is not None and seen.presence is Presence.RUNNING
        if not running and powers[name] is Power.RUN:
            homeless.append((vm, seen, "start"))
        elif running and powers[name] is not Power.STOP and seen is not None:
            why = reason_to_leave(desired, vm, seen.host)
            if why is None:
                assignments[name] = Assignment(name, Outcome.STAYS, seen.host, seen.host)
            else:
                homeless.append((vm, seen, why))
    if homeless:
        assignments.update(_place(desired, observed, homeless))
    return Placement(dict(sorted(assignments.items())))


def reason_to_leave(desired: Desired, vm: VirtualMachine, host: str | None) -> str | None:
    """The rule by which a running VM may not stay where it is, None if it may."""
    declared = desired.hosts.get(host or "")
    if declared is None:
        return None
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
    desired: Desired, observed: Observed, homeless: Iterable[tuple[VirtualMachine, VmObservation | None, str]]
) -> dict[str, Assignment]:
    """Places VMs: those that run go first, then higher priority, then larger, then by id."""
    used = used_memory(observed)
    tables: dict[str, HostTable] = {}
    found: dict[str, Assignment] = {}
    for vm, seen, why in sorted(homeless, key=_turn):
        if vm.cluster not in tables:
            tables[vm.cluster] = build_table(desired, observed, desired.clusters[vm.cluster], used)
        found[vm.meta.id] = _assign(demand_of(desired, vm, seen), tables[vm.cluster], vm, why)
    return found


def _turn(one: tuple[VirtualMachine, VmObservation | None, str]) -> tuple[bool, int, int, str]:
    """Sort key of the order in which VMs are placed."""
    vm, _, why = one
    return (why == "start", -vm.priority, -vm.memory_bytes, vm.meta.id)


def _assign(demand: VmDemand, table: HostTable, vm: VirtualMachine, why: str) -> Assignment:
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
    host = select_host(NONE, demand, table)
    if host is None:
        return Assignment(
            vm.meta.id, Outcome.UNPLACED, None, demand.current, why, dropped_by(NONE, demand, table)
        )
    table.add(demand, host)
    if (own := table.position(demand.current)) is not None:
        table.remove(demand, own)
    outcome = Outcome.STARTS if demand.current is None else Outcome.MOVES
    return Assignment(vm.meta.id, outcome, table.ids[host], demand.current, why)
