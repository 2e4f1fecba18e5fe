"""How far from balance a cluster is: numbers worked out by hand, and the plain score as the oracle of the arrays."""

import random
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.placement.balance.layout import Candidates, Layout, Price, layout_of
from reconciler.placement.balance.plan import measure
from reconciler.placement.balance.ranks import rank_exchanges, rank_moves
from reconciler.placement.balance.score import FINE, Weights, slopes, tally_of
from reconciler.placement.balance.state import ClusterState
from tests.unit.placement.balance.clusters import broken, cluster, clusters
from tests.unit.placement.balance.plain import plain_score

LINEAR = Weights(spare=0.0, even=0.0)
FREE = Price(0.0, 0.0)


def test_the_spreads_of_a_small_cluster() -> None:
    """Used memory 3/4 and 1/4 of 32 GiB: each 1/4 from the mean. Load 120 and 40 percent of 400: 0.3 and 0.1. vCPUs 3
    and 1 on 4 CPUs: 1/4. VMs 3 and 1: 1, half of the mean of 2."""
    state = cluster([(32, 4), (32, 4)], [(8, 0), (8, 0), (8, 0), (8, 1)], load=[40, 40, 40, 40])

    found = measure(state, Weights(memory=1, load=2, vcpus=3, number=4, even=0.0))

    assert found.memory == pytest.approx(0.25)
    assert found.load == pytest.approx(0.1)
    assert found.vcpus == pytest.approx(0.25)
    assert found.numbers == pytest.approx(1.0)
    expected = sum(w * (sqrt(s**2 + FINE**2) - FINE) for w, s in ((1, 0.25), (2, 0.1), (3, 0.25), (4, 0.5)))
    assert found.score == pytest.approx(expected)


@pytest.mark.parametrize(
    ("spread", "counts"),
    [
        (0.0, 0.0),
        (0.05, 0.001),
        (0.1, 0.002 + 0.98 * 0.0075),
        (0.2, 0.004 + 0.98 * 0.1),
        (0.4, 0.008 + 0.98 * 0.3),
    ],
)
def test_of_a_spread_counts_what_is_beyond_what_is_even(spread: float, counts: float) -> None:
    """Even are 0.1; so far a fiftieth counts. The bend of 0.015 about there adds half of itself at 0.1 and next to
    nothing elsewhere."""
    state = cluster(
        [(1000, 4), (1000, 4)], [(round(500 + 1000 * spread), 0), (round(500 - 1000 * spread), 1)]
    )

    score = measure(state, Weights(memory=1, load=0, vcpus=0, number=0, spare=0, even=0.1)).score

    assert score == pytest.approx(counts, abs=0.003)


@pytest.mark.parametrize(
    ("vms", "missing"),
    [
        ([(8, 0), (8, 1)], [0, 0, 0]),
        # Host 0 holds 28 of 32 GiB; the others have 4 + 16 free: 8 GiB of 32 find no room. And nobody has 16 free.
        ([(4, 0)] * 7 + [(4, 1)] * 7 + [(16, 2)], [0.25, 0.25, 0.5]),
        # Two VMs of 16 GiB need two slots of 16; the others have 12 each: none, though 24 GiB are free.
        ([(16, 0), (16, 0), (4, 1), (16, 1), (4, 2), (16, 2)], [1.0, 0.5, 0.5]),
    ],
)  # fmt: skip
def test_what_would_find_no_room_if_a_host_were_lost(
    vms: list[tuple[int, int]], missing: list[float]
) -> None:
    tally = tally_of(cluster([(32, 4)] * 3, vms), Weights())

    assert tally.spare.missing().tolist() == missing
    assert measure(cluster([(32, 4)] * 3, vms)).not_spare == sum(one > 0 for one in missing)


def test_a_host_that_takes_and_gives_nothing_does_not_count() -> None:
    both = cluster([(32, 4), (32, 4), (32, 4)], [(8, 0), (8, 1)], unsent=[2], unreceived=[2])

    assert measure(both).score == 0.0


def test_guests_that_nobody_restarts_need_no_spare_room() -> None:
    state = cluster([(32, 4)] * 2, [(8, 0)] * 4 + [(8, 1)] * 4)
    assert measure(state).not_spare == 2

    state.vms.restarts[:] = False

    assert measure(state).not_spare == 0


@given(clusters())
def test_the_arrays_say_what_the_plain_score_says(state: ClusterState) -> None:
    assert tally_of(state, Weights()).score() == pytest.approx(plain_score(state, Weights()), abs=1e-9)


@given(clusters(), st.randoms(use_true_random=False))
def test_changes_are_what_the_plain_score_finds_afterwards(
    state: ClusterState, chance: random.Random
) -> None:
    layout = layout_of(state, Weights(), FREE)
    found = every_candidate(layout)
    some = found.some(np.array(chance.sample(range(len(found.vms)), min(10, len(found.vms))), dtype=np.int64))
    for change, vm, target, partner in zip(
        layout.changes(some), some.vms, some.targets, some.partners, strict=True
    ):
        after = places_after(state, vm, target, partner)
        difference = plain_score(state.with_places(after), Weights()) - plain_score(state, Weights())
        assert change == pytest.approx(difference, abs=1e-9)


@given(clusters(), st.booleans())
def test_ranks_are_linear_in_the_variances_and_no_change_is_worse(state: ClusterState, away: bool) -> None:
    """That is why a search may trust ranks, which matrix products find for all pairs at once."""
    layout = layout_of(state, LINEAR, Price())
    legal = every_candidate(layout).some(layout.legal(every_candidate(layout)))
    if away and len(legal.vms):
        layout.apply(int(legal.vms[0]), int(legal.targets[0]), int(legal.partners[0]))
    found = every_candidate(layout)
    vms, hosts = np.arange(len(layout.host)), np.arange(len(layout.tally.used))
    moves, exchanges = rank_moves(layout, vms, hosts), rank_exchanges(layout, vms, vms)

    ranks = np.where(
        found.partners < 0, moves[found.vms, found.targets], exchanges[found.vms, found.partners]
    )

    assert ranks[:40] == pytest.approx(linear_changes(layout, found)[:40], abs=1e-8)
    assert (layout.changes(found) <= ranks + 1e-9).all()
    assert (np.diag(exchanges)[layout.rows] > -1e-9).all()
    assert (moves[layout.rows, layout.host[layout.rows]] > -1e-9).all()


@given(clusters())
def test_what_is_legal_breaks_nothing(state: ClusterState) -> None:
    """And the other way round: what breaks nothing is legal."""
    layout = layout_of(state, Weights(), FREE)
    found = every_candidate(layout)
    before = {one for one in broken(state) if one[0] != "gather"}
    for legal, vm, target, partner in zip(
        layout.legal(found)[:60], found.vms, found.targets, found.partners, strict=False
    ):
        after = state.with_places(places_after(state, vm, target, partner))
        fresh = {one for one in broken(after) if one[0] != "gather"} - before
        reaches = partner < 0 or state.hosts.receives[state.vms.host[vm]]
        assert legal == (not fresh and reaches and state.hosts.receives[target])


@given(clusters())
def test_where_spare_room_is_ample_no_change_of_two_hosts_matters(state: ClusterState) -> None:
    layout = layout_of(state, Weights(), FREE)
    spare, found = layout.tally.spare, every_candidate(layout)

    if spare.is_ample():
        assert spare.shortage() == 0.0
        sources = layout.host[found.vms]
        legal = layout.legal(found)
        changes = spare.changes(found.vms, found.partners, sources, found.targets)
        assert not changes[legal].any()


def linear_changes(layout: Layout, found: Candidates) -> np.ndarray:
    """By the definition: slope of the score times what the sums of squares change, and what the cost changes."""
    tally = layout.tally
    slope = slopes(tally.scales, tally.variances) * tally.scales.number
    changes = []
    for vm, target, partner in zip(found.vms[:40], found.targets, found.partners, strict=False):
        source = layout.host[vm]
        after, used = layout.host.copy(), tally.used.copy()
        for one, here, there in ((vm, source, target), (partner, target, source)):
            if one >= 0:
                after[one] = there
                used[here] -= tally.scales.takes[one]
                used[there] += tally.scales.takes[one]
        shares = (used / tally.scales.sizes)[tally.scales.counted]
        price = layout.prices[after != layout.home].sum() - layout.cost()
        changes.append((shares.var(axis=0) - tally.variances) @ slope + price)
    return np.array(changes)


def places_after(state: ClusterState, vm: int, target: int, partner: int) -> np.ndarray:
    after = state.vms.host.copy()
    after[vm] = target
    if partner >= 0:
        after[partner] = state.vms.host[vm]
    return after


def every_candidate(layout: Layout) -> Candidates:
    """Every move of a VM that may move to a host that takes some, and every exchange of two, legal or not."""
    vms, hosts = layout.rows.tolist(), np.flatnonzero(layout.state.hosts.receives).tolist()
    moves = [(vm, host, -1) for vm in vms for host in hosts if layout.host[vm] != host]
    exchanges = [
        (one, int(layout.host[two]), two)
        for one in vms
        for two in vms
        if layout.host[one] != layout.host[two]
    ]
    every = np.array([*moves, *exchanges], dtype=np.int64).reshape(-1, 3)
    return Candidates(every[:, 0], every[:, 1], every[:, 2])
