"""An order of moves in which no host is ever overfull and no spread group ever together, whoever goes first.

A rehearsal finds one legal order; `dependencies` then keeps only what must be waited for. Moves that wait for each other go
through a third host, or are given up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reconciler.placement.balance.layout import Layout
from reconciler.placement.balance.rehearsal import Hop, Rehearsal
from reconciler.placement.balance.score import LOAD, NUMBER
from reconciler.placement.balance.state import Floats, Integers


@dataclass(frozen=True, slots=True)
class Move:
    """One migration. after: positions of earlier moves that must be done before it begins; parks: the VM goes on from
    there with a later move."""

    vm: int
    source: int
    target: int
    after: tuple[int, ...] = ()
    parks: bool = False


def rehearse_moves(layout: Layout, wanted: Integers, preference: Sequence[int]) -> list[Hop]:
    """Hops in a legal order that bring VMs where they are wanted; those most preferred early. The layout goes along.

    A VM that finds no way (or whose way through a third host costs more than it gains) stays where it is.
    """
    rehearsal = Rehearsal(layout, {vm: int(wanted[vm]) for vm in preference})
    while rehearsal.pending:
        if not rehearsal.go_on() and not rehearsal.make_room():
            rehearsal.give_up()
    return rehearsal.hops


def order_hops(layout: Layout, hops: Sequence[Hop]) -> tuple[Move, ...]:
    """Moves with what each has to wait for, from hops that are legal one after another from the layout's home on.

    Any order in which nothing begins before what it waits for has ended is legal: what may have come to a host by then
    fits into what must have left it.
    """
    waits: list[set[int]] = [set() for _ in hops]
    for host in sorted({one.target for one in hops}):
        _wait_for_room(layout, hops, host, waits)
    _wait_for_members(layout, hops, waits)
    latest: dict[int, int] = {}
    for position, hop in enumerate(hops):
        if hop.vm in latest:
            waits[position].add(latest[hop.vm])
        latest[hop.vm] = position
    return tuple(
        Move(hop.vm, hop.source, hop.target, tuple(sorted(waits[position])), latest[hop.vm] != position)
        for position, hop in enumerate(hops)
    )


def _wait_for_room(layout: Layout, hops: Sequence[Hop], host: int, waits: list[set[int]]) -> None:
    """Each arrival waits for so many departures, in their order, that all arrivals up to it fit."""
    scales = layout.tally.scales
    limit = scales.limits[host, :NUMBER]
    used = _used_at_home(layout, host)[:NUMBER].copy()
    departures = [n for n, hop in enumerate(hops) if hop.source == host]
    needed = 0
    for position, hop in enumerate(hops):
        if hop.target != host:
            continue
        used += scales.takes[hop.vm, :NUMBER]
        while (used > limit).any() and needed < len(departures):
            used -= scales.takes[hops[departures[needed]].vm, :NUMBER]
            needed += 1
        waits[position].update(departures[:needed])


def _used_at_home(layout: Layout, host: int) -> Floats:
    """What a host carries before the first move, by resource."""
    used = layout.tally.scales.takes[layout.home == host].sum(axis=0)
    used[LOAD] += layout.state.hosts.extra_load_percent[host]
    return np.asarray(used)


def _wait_for_members(layout: Layout, hops: Sequence[Hop], waits: list[set[int]]) -> None:
    """An arrival waits for each earlier departure of a member of one of its spread groups."""
    left: dict[tuple[int, int], list[int]] = {}
    for position, hop in enumerate(hops):
        groups = [int(one) for one in layout.groups[hop.vm] if one >= 0]
        for group in groups:
            waits[position].update(left.get((group, hop.target), ()))
        for group in groups:
            left.setdefault((group, hop.source), []).append(position)
