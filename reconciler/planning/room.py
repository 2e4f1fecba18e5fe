"""Room on hosts while a plan runs: an arrival that does not fit yet waits for departures from its host."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from reconciler.model.capacity import footprint_after, guest_footprint, host_capacity, vm_footprint
from reconciler.model.change import Verb
from reconciler.model.placement import turn_of
from reconciler.model.plan import Edge, Step
from reconciler.planning.context import PlanContext


def edges_for_room(
    context: PlanContext, arrivals: Sequence[tuple[Step, str]], departures: Sequence[Step]
) -> Iterator[tuple[str, Edge]]:
    """Edges `room-before-arrival`: every order of the steps that keeps them never overfills a host's memory.

    An arrival waits for as many departures as it takes until it fits beside all who stay and grow and all earlier
    arrivals; so any subset of the departures not waited for may come later. Placement gave room in turns, so
    stops and departures of earlier turns are enough, and no two steps wait for each other.
    """
    coming = [(_turn(context, step), step, host) for step, host in arrivals if step.kind != "reboot-vm"]
    leaving: dict[str, list[Step]] = {}
    for step in sorted(departures, key=lambda one: (one.kind != "stop-vm", _turn(context, one))):
        leaving.setdefault(step.host, []).append(step)
    free: dict[str, int] = {}
    growth = _growth(context)
    for turn, step, host in sorted(coming, key=lambda one: one[0]):
        if host not in context.desired.hosts:
            continue
        if host not in free:
            promised = context.placement.promised.get(host, 0)
            free[host] = _free_now(context, host) - promised - growth.get(host, 0)
        free[host] -= _footprint(context, step.object)
        queue = leaving.get(host, [])
        while free[host] < 0 and queue and (queue[0].kind == "stop-vm" or _turn(context, queue[0]) < turn):
            gone = queue.pop(0)
            free[host] += _footprint_of(context, gone)
            yield step.id, Edge(gone.id, "room-before-arrival")


def _turn(context: PlanContext, step: Step) -> tuple[bool, int, int, str]:
    """The turn in which placement gave the VM its room; a VM that no manifest declares only leaves."""
    vm = context.desired.vms.get(step.object)
    return (False, 0, 0, step.object) if vm is None else turn_of(vm, runs=step.kind != "start-vm")


def _free_now(context: PlanContext, host: str) -> int:
    """Bytes that the host has left beside the guests that it runs now; negative if it is overfull."""
    state = context.host(host).state
    if state is None:
        return 0
    percent = context.desired.clusters[context.desired.hosts[host].cluster].memory_overcommit_percent
    used = sum(guest_footprint(guest.config) for guest in state.guests if guest.config)
    used += sum(guest.memory_bytes for guest in state.guests if guest.config is None)
    return host_capacity(state.capabilities, percent) - used


def _growth(context: PlanContext) -> dict[str, int]:
    """By host, bytes that running guests take more once this plan has changed or restarted them where they are."""
    grown: dict[str, int] = defaultdict(int)
    for change in context.of_verb(Verb.CHANGE_LIVE, Verb.RESTART):
        seen = context.seen(change.object)
        config = seen.guest.config if seen and seen.guest and seen.host == change.host else None
        if change.host is not None and config is not None:
            after = footprint_after(context.desired.vms[change.object], config)
            grown[change.host] += max(0, after - guest_footprint(config))
    return grown


def _footprint(context: PlanContext, vm: str) -> int:
    """Bytes that a VM takes where it arrives."""
    seen = context.seen(vm)
    config = seen.guest.config if seen and seen.guest else None
    declared = context.desired.vms[vm]
    return footprint_after(declared, config) if config else vm_footprint(declared)


def _footprint_of(context: PlanContext, departure: Step) -> int:
    """Bytes that a departure gives back."""
    seen = context.observed.vms.get(departure.args["vm"])
    config = seen.guest.config if seen and seen.guest else None
    return guest_footprint(config) if config else 0
