"""Turns the state documents of hosts into what each VM was seen as: guests, bare processes, exits, open starts.

Called by `assemble`. Sightings are what answering hosts say now; hints are what anybody ever said, good only to
know that a VM was there.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from nodeagent.wire.facts import ExitFacts, HostState, OrderFacts
from reconciler.model.observed import GuestOnHost, HostObservation

STARTING_KINDS = frozenset({"start-vm", "reboot-vm", "migrate-vm"})
"""Orders that may bring a guest to life at any moment while they are open."""

OPEN_STATES = frozenset({"accepted", "running", "unknown"})


@dataclass(slots=True)
class Sightings:
    """By VM uuid, hosts in the order of their ids. Built up once a pass by `collect_sightings`, then only read.

    guests: as answering hosts list them. processes: ids of answering hosts with a QEMU process of the VM that
    libvirt does not list. exits: (host id, exit) of answering hosts. hints: of hosts that do not answer now and
    once listed the VM, the id and the number of the run that was listed, None if that is not known. starting:
    object id to ids of hosts whose ledger holds an open order that starts it. The last two leave out hosts proven
    off, by whom `hinted`, all VMs that were ever listed, is not changed.
    """

    guests: dict[str, tuple[GuestOnHost, ...]] = field(default_factory=dict)
    processes: dict[str, list[str]] = field(default_factory=dict)
    exits: dict[str, list[tuple[str, ExitFacts]]] = field(default_factory=dict)
    hints: dict[str, list[tuple[str, int | None]]] = field(default_factory=dict)
    hinted: set[str] = field(default_factory=set)
    starting: dict[str, list[str]] = field(default_factory=dict)


def collect_sightings(
    hosts: Mapping[str, HostObservation], off: Collection[str], wanted: Collection[str] | None = None
) -> Sightings:
    """All sightings, hosts by id in sorted order; only of the VMs `wanted`, if that is given (orders: all).

    off: uuids of hosts proven off, whose open orders and guests are settled by that.
    """
    seen = Sightings()
    for host in hosts.values():
        if host.state is None:
            continue
        if host.uuid not in off:
            for order in starting_orders(host.state.orders):
                seen.starting.setdefault(order.object, []).append(host.id)
        if host.answering:
            _collect_answer(seen, host.id, host.state, wanted)
            continue
        seen.hinted.update(listed_vms(host.state))
        if host.uuid not in off:
            _collect_hints(seen, host.id, host.state)
    return seen


def _collect_hints(seen: Sightings, host: str, state: HostState) -> None:
    runs = {guest.uuid: guest.config.run if guest.config else None for guest in state.guests}
    for uuid in sorted(listed_vms(state)):
        seen.hints.setdefault(uuid, []).append((host, runs.get(uuid)))


def _collect_answer(seen: Sightings, host: str, state: HostState, wanted: Collection[str] | None) -> None:
    listed = {guest.uuid for guest in state.guests}
    for guest in state.guests:
        if wanted is None or guest.uuid in wanted:
            seen.guests[guest.uuid] = (*seen.guests.get(guest.uuid, ()), GuestOnHost(host, guest))
    for uuid in sorted(set(state.processes) - listed):
        if wanted is None or uuid in wanted:
            seen.processes.setdefault(uuid, []).append(host)
    for one in state.exits:
        if wanted is None or one.vm in wanted:
            seen.exits.setdefault(one.vm, []).append((host, one))


def starting_orders(orders: Iterable[OrderFacts]) -> list[OrderFacts]:
    """The open orders among these that may start a guest."""
    return [one for one in orders if one.state in OPEN_STATES and one.kind in STARTING_KINDS]


def listed_vms(state: HostState) -> set[str]:
    """Every VM that a state document speaks of as alive."""
    return {guest.uuid for guest in state.guests} | set(state.processes)
