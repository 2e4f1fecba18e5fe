"""Room on hosts while a plan runs: an arrival that does not fit yet waits for departures from its host."""

from collections.abc import Iterator, Sequence

from reconciler.model.capacity import guest_footprint, host_capacity, vm_footprint
from reconciler.model.plan import Edge, Step
from reconciler.planning.context import PlanContext


def edges_for_room(
    context: PlanContext, arrivals: Sequence[tuple[Step, str]], departures: Sequence[Step]
) -> Iterator[tuple[str, Edge]]:
    """Edges `room-before-arrival`: every order of the steps that keeps them never overfills a host's memory.

    An arrival waits for as many departures, in plan order, as it takes until it fits beside all who stay and
    all earlier arrivals; so any subset of the departures not waited for may come later.
    """
    leaving: dict[str, list[Step]] = {}
    for step in departures:
        leaving.setdefault(step.host, []).append(step)
    free: dict[str, int] = {}
    for step, host in arrivals:
        if step.kind == "reboot-vm" or host not in context.desired.hosts:
            continue
        if host not in free:
            free[host] = _free_now(context, host)
        free[host] -= vm_footprint(context.desired.vms[step.object])
        waited: list[Step] = []
        while free[host] < 0 and leaving.get(host):
            gone = leaving[host].pop(0)
            free[host] += _footprint_of(context, gone)
            waited.append(gone)
        for gone in waited:
            yield step.id, Edge(gone.id, "room-before-arrival")


def _free_now(context: PlanContext, host: str) -> int:
    """Bytes that the host has left with the guests that it runs now; negative if it is overfull."""
    state = context.host(host).state
    if state is None:
        return 0
    percent = context.desired.clusters[context.desired.hosts[host].cluster].memory_overcommit_percent
    used = sum(guest_footprint(guest.config) for guest in state.guests if guest.config)
    used += sum(guest.memory_bytes for guest in state.guests if guest.config is None)
    return host_capacity(state.capabilities, percent) - used


def _footprint_of(context: PlanContext, departure: Step) -> int:
    """Bytes that a departure gives back."""
    uuid = departure.args["vm"]
    seen = context.observed.vms.get(uuid)
    config = seen.guest.config if seen and seen.guest else None
    return guest_footprint(config) if config else 0
