"""Balancing from a cluster's state to ordered moves: search, order, and again until a further run would plan nothing."""

from dataclasses import dataclass

import numpy as np

from reconciler.placement.balance.layout import NOBODY, Candidates, Layout, Price, layout_of
from reconciler.placement.balance.ordering import Move, order_hops, rehearse_moves
from reconciler.placement.balance.rehearsal import Hop
from reconciler.placement.balance.score import LOAD, MEMORY, NUMBER, VCPUS, Weights, tally_of
from reconciler.placement.balance.search import search_balance
from reconciler.placement.balance.state import ClusterState, Integers

WEIGHTS, PRICE = Weights(), Price()
PATHS: tuple[tuple[float, ...], ...] = ((1.0,), (0.3, 1.0))
"""Shares of the prices, one search after another. Where little is free, large VMs get nowhere before others have made
room; at a lower price they do, and what does not pay in the end is taken back at the full one."""
DIGITS = 9
"""Points; what differs less is rounding."""
DEARER = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
"""Prices at which fewer moves are looked for, as multiples."""
SMALL = 1 << 22
"""Pairs of VMs; of clusters with more only the first path is gone, at one price, for its time."""


@dataclass(frozen=True, slots=True)
class Spreads:
    """How uneven a cluster is. memory, load, vcpus: standard deviations over hosts of used memory, load and vCPUs, each
    divided by what the host has; numbers: of VMs; not_spare: hosts of which it is proved that their VMs would not fit on
    the others; score: all together, 0 is perfect."""

    memory: float
    load: float
    vcpus: float
    numbers: float
    not_spare: int
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class BalancePlan:
    """moves: in an order that is legal, with what each waits for; end: host by VM after all of them; cost: in points of
    the score, of all moves; before, after: the cluster without and with them."""

    moves: tuple[Move, ...]
    end: Integers
    cost: float
    before: Spreads
    after: Spreads


def plan_balance(
    state: ClusterState, weights: Weights = WEIGHTS, price: Price = PRICE, most_moves: int | None = None
) -> BalancePlan:
    """A short set of moves to a state of which the same call plans nothing more; only VMs that may move, from hosts that
    send to hosts that receive, never against a hard rule or beyond a limit, neither in between.

    most_moves: only so many are planned, as dearer prices choose them or, if that is better, the first ones; the next
    call goes on from there.
    """
    hops = _find_all_hops(state, weights, price)
    if most_moves is not None and len(hops) > most_moves:
        hops = _find_few_hops(state, weights, price, most_moves, hops)
    layout, end = layout_of(state, weights, price), _end(state, hops)
    return BalancePlan(
        moves=order_hops(layout, hops),
        end=end,
        cost=_cost(layout, hops),
        before=measure(state, weights),
        after=measure(state.with_places(end), weights),
    )


def measure(state: ClusterState, weights: Weights = WEIGHTS) -> Spreads:
    """How uneven a cluster is as it stands."""
    tally = tally_of(state, weights)
    deviations = np.sqrt(tally.variances)
    return Spreads(
        memory=float(deviations[MEMORY]),
        load=float(deviations[LOAD]),
        vcpus=float(deviations[VCPUS]),
        numbers=float(deviations[NUMBER] * tally.scales.mean),
        not_spare=int((tally.spare.missing() > 0).sum()),
        score=tally.score(),
    )


def _find_all_hops(state: ClusterState, weights: Weights, price: Price) -> list[Hop]:
    """Hops after which none are found any more."""
    hops: list[Hop] = []
    while stage := _find_hops(state.with_places(_end(state, hops)), weights, price):
        hops = _without_detours(state, [*hops, *stage], weights, price) if hops else stage
    return hops


def _find_few_hops(
    state: ClusterState, weights: Weights, price: Price, most: int, hops: list[Hop]
) -> list[Hop]:
    """At most so many: the first of these, or all at one of the dearer prices, whichever ends nearer to balance."""
    choices = [hops[:most]]
    for times in DEARER if _is_small(state) else ():
        dear = Price(price.number * times, price.carried * times)
        if len(few := _find_all_hops(state, weights, dear)) <= most:
            choices.append(few)
            break
    return min(choices, key=lambda one: measure(state.with_places(_end(state, one)), weights).score)


def _find_hops(state: ClusterState, weights: Weights, price: Price) -> list[Hop]:
    """Hops that gain more than they cost, legal one after another. VMs for which no way is found are left out of the
    search from then on."""
    barred: set[int] = set()
    paths = PATHS if _is_small(state) else PATHS[:1]
    while True:
        found = min(
            (_search(state, weights, price, barred, steps) for steps in paths),
            key=lambda one: round(one.tally.score() + one.cost(), DIGITS),
        )
        start = layout_of(state, weights, price)
        before = start.tally.score()
        hops = rehearse_moves(start, found.host, _preference(start, found.host))
        stuck = np.flatnonzero(start.host != found.host).tolist()
        if not stuck:
            return hops if before - start.tally.score() > _cost(start, hops) else []
        barred.update(stuck)


def _search(
    state: ClusterState, weights: Weights, price: Price, barred: set[int], steps: tuple[float, ...]
) -> Layout:
    """What a search finds at one share of the prices after the other."""
    layout = layout_of(state, weights, price)
    layout.rows = layout.rows[~np.isin(layout.rows, list(barred))]
    prices = layout.prices
    for share in steps:
        layout.prices = prices * share
        search_balance(layout)
    return layout


def _is_small(state: ClusterState) -> bool:
    return len(state.vms.host) ** 2 <= SMALL


def _preference(layout: Layout, wanted: Integers) -> list[int]:
    """The VMs that go elsewhere, those first that alone gain most."""
    vms = np.flatnonzero(layout.host != wanted)
    change = layout.changes(Candidates(vms, wanted[vms], np.full(len(vms), NOBODY)))
    return [int(vm) for vm in vms[np.argsort(change, kind="stable")]]


def _without_detours(state: ClusterState, hops: list[Hop], weights: Weights, price: Price) -> list[Hop]:
    """The same end with fewer hops, if VMs can go straight to where they end."""
    layout, end = layout_of(state, weights, price), _end(state, hops)
    straight = rehearse_moves(layout, end, _preference(layout, end))
    return straight if (layout.host == end).all() and len(straight) < len(hops) else hops


def _end(state: ClusterState, hops: list[Hop]) -> Integers:
    host = state.vms.host.copy()
    for hop in hops:
        host[hop.vm] = hop.target
    return host


def _cost(layout: Layout, hops: list[Hop]) -> float:
    return float(sum(layout.prices[hop.vm] for hop in hops))
