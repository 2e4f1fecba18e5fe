"""Orders of moves: what waits for what, third hosts, and what is given up."""

import numpy as np
import pytest

from reconciler.placement.balance.layout import Price, layout_of
from reconciler.placement.balance.ordering import Move, order_hops, rehearse_moves
from reconciler.placement.balance.score import Weights
from reconciler.placement.balance.state import ClusterState
from tests.unit.placement.balance.clusters import cluster

FREE = Price(0.0, 0.0)


def order(state: ClusterState, wanted: list[int], price: Price = FREE) -> tuple[Move, ...]:
    hops = rehearse_moves(
        layout_of(state, Weights(), price),
        np.array(wanted),
        [vm for vm, host in enumerate(wanted) if host != state.vms.host[vm]],
    )
    return order_hops(layout_of(state, Weights(), price), hops)


def test_moves_into_free_room_wait_for_nobody() -> None:
    state = cluster([(32, 4)] * 2, [(8, 0), (8, 0), (8, 0)])

    assert order(state, [1, 1, 0]) == (Move(0, 0, 1), Move(1, 0, 1))


def test_an_arrival_waits_for_so_many_departures_as_it_needs() -> None:
    """Host 1 is full with 8 + 8 + 16; VM 0 of 16 needs the two of 8 gone, or the one of 16."""
    state = cluster([(32, 4)] * 3, [(16, 0), (8, 1), (8, 1), (16, 1)])

    assert order(state, [1, 2, 2, 1]) == (Move(1, 1, 2), Move(2, 1, 2), Move(0, 0, 1, after=(0, 1)))


def test_an_arrival_waits_until_a_member_of_its_spread_group_has_left() -> None:
    state = cluster([(32, 4)] * 3, [(8, 0), (8, 1)], spread=[[0, 1]])

    assert order(state, [1, 2]) == (Move(1, 1, 2), Move(0, 0, 1, after=(0,)))


def test_two_full_hosts_change_guests_through_a_third() -> None:
    """VM 1 makes room on host 1 by waiting on host 2, where 16 GiB are free."""
    state = cluster([(32, 4)] * 3, [(16, 0), (16, 1), (16, 0), (16, 1), (16, 2)], load=[90, 0, 90, 0, 0])

    assert order(state, [1, 0, 0, 1, 2]) == (
        Move(1, 1, 2, parks=True),
        Move(0, 0, 1, after=(0,)),
        Move(1, 2, 0, after=(0, 1)),
    )  # fmt: skip


def test_members_of_a_spread_group_change_places_through_a_third_host() -> None:
    state = cluster([(32, 4)] * 3, [(8, 0), (8, 1), (8, 0)], load=[90, 0, 90], spread=[[0, 1]])

    assert order(state, [1, 0, 0]) == (
        Move(1, 1, 2, parks=True),
        Move(0, 0, 1, after=(0,)),
        Move(1, 2, 0, after=(0, 1)),
    )  # fmt: skip


@pytest.mark.parametrize("third", [(15, 4), (32, 4)])
def test_an_exchange_without_a_third_host_is_given_up(third: tuple[int, int]) -> None:
    """The third host is too small, or it takes nobody."""
    state = cluster([(32, 4), (32, 4), third], [(32, 0), (32, 1)], unreceived=[2])

    assert order(state, [1, 0]) == ()


def test_a_detour_that_costs_more_than_it_gains_is_not_made() -> None:
    """Both hosts look the same afterwards: there is nothing to gain."""
    state = cluster([(32, 4)] * 3, [(32, 0), (32, 1)])

    assert order(state, [1, 0], Price(number=1.0)) == ()
