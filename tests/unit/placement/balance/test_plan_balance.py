"""Plans of moves: small clusters whose best end is known, limits and rules that hold, and laws over random ones."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.placement.balance.layout import Price
from reconciler.placement.balance.plan import BalancePlan, plan_balance
from reconciler.placement.balance.score import Weights
from reconciler.placement.balance.state import ClusterState, Hosts, Rules
from tests.unit.placement.balance.clusters import GIB, broken, cluster, clusters

CHEAP = Price(0.05, 0.05)
TINY = Price(1e-5, 1e-5)


def moved(plan: BalancePlan) -> dict[int, tuple[int, int]]:
    return {one.vm: (one.source, one.target) for one in plan.moves}


def test_a_balanced_cluster_stays() -> None:
    plan = plan_balance(cluster([(32, 4)] * 2, [(8, 0), (8, 0), (8, 1), (8, 1)]), price=TINY)

    assert plan.moves == ()
    assert plan.cost == 0.0
    assert plan.before == plan.after


def test_an_empty_host_gets_its_share() -> None:
    """Four VMs on the first of two hosts: two go."""
    plan = plan_balance(cluster([(32, 4)] * 2, [(4, 0)] * 4))

    assert sorted(plan.end.tolist()) == [0, 0, 1, 1]
    assert len(plan.moves) == 2
    assert plan.after.score == 0.0


def test_where_no_single_move_helps_guests_are_exchanged() -> None:
    """24 and 8 GiB with two VMs each; 16 and 16 after one of 12 and one of 4 have changed places."""
    plan = plan_balance(cluster([(32, 4)] * 2, [(12, 0), (12, 0), (4, 1), (4, 1)]), price=CHEAP)

    assert len(plan.moves) == 2
    assert plan.after.score == pytest.approx(0.0)


def test_a_gain_below_its_price_is_left() -> None:
    """The exchange above takes half of the VMs and of the memory, and levels a spread of 0.25."""
    state = cluster([(32, 4)] * 2, [(12, 0), (12, 0), (4, 1), (4, 1)])
    weights = Weights(even=0.0)

    assert len(plan_balance(state, weights, Price(number=0.24, carried=0.24)).moves) == 2
    assert plan_balance(state, weights, Price(number=0.26, carried=0.26)).moves == ()


def test_hosts_that_are_even_enough_are_left() -> None:
    """Memory differs from the mean by a sixteenth of a host; moves cost next to nothing."""
    state = cluster([(32, 4)] * 2, [(9, 0), (9, 0), (7, 1), (7, 1)])

    assert plan_balance(state, price=Price(0.01, 0.01)).moves == ()
    assert len(plan_balance(state, Weights(even=0.0), Price(0.01, 0.01)).moves) == 2


@pytest.mark.parametrize("used", ["memory", "load"])
def test_hosts_at_ninety_and_ten_percent_are_levelled(used: str) -> None:
    """By VM numbers and vCPUs they are alike."""
    sizes, load = ([9, 1], [40, 40]) if used == "memory" else ([4, 4], [90, 10])
    vms = [(sizes[host], host) for host in (0, 1) for _ in range(10)]
    state = cluster([(100, 10)] * 2, vms, load=[load[host] for _, host in vms])

    plan = plan_balance(state)

    assert getattr(plan.before, used) == pytest.approx(0.4)
    assert getattr(plan.after, used) < 0.1
    assert len(plan.moves) <= 10


def test_of_guests_that_help_alike_the_cheapest_to_carry_moves() -> None:
    state = cluster([(32, 4)] * 2, [(4, 0), (4, 0), (4, 0), (4, 1)])
    state.vms.move_bytes[:] = [9 * GIB, 4 * GIB, 9 * GIB, 9 * GIB]

    assert moved(plan_balance(state)) == {1: (0, 1)}


def test_cpu_load_is_levelled_where_everything_else_is() -> None:
    state = cluster([(32, 4)] * 2, [(4, 0), (4, 0), (4, 1), (4, 1)], load=[150, 150, 10, 10])

    plan = plan_balance(state, price=TINY)

    assert plan.before.load == pytest.approx(0.35)
    assert plan.after.load == pytest.approx(0.0)
    assert len(plan.moves) == 2


def test_a_host_that_could_not_be_lost_is_relieved() -> None:
    """Three hosts of 32 GiB; VMs of 16. With 12 GiB free on each of two hosts nobody could take a VM of 16: moving one
    of 4 makes a slot."""
    vms = [(16, 0), (16, 1), (4, 1), (16, 2), (4, 2)]

    plan = plan_balance(cluster([(32, 4)] * 3, vms), price=TINY)

    assert plan.before.not_spare == 1
    assert plan.after.not_spare == 0


@pytest.mark.parametrize(
    "limits",
    [
        {"allowed": [[1, 0]]},
        {"fixed": [0, 1, 2, 3]},
        {"gather": [[0, 1], [2, 3]]},
        {"unsent": [0]},
        {"unreceived": [1]},
    ],
)
def test_what_may_not_move_stays(limits: dict[str, list[list[int]]]) -> None:
    state = cluster([(32, 4)] * 2, [(4, 0)] * 4, **limits)  # type: ignore[arg-type]

    assert plan_balance(state).moves == ()


def test_a_gather_group_of_one_moves_like_any() -> None:
    assert len(plan_balance(cluster([(32, 4)] * 2, [(4, 0)] * 4, gather=[[0], [1]])).moves) == 2


def test_members_of_a_spread_group_never_meet() -> None:
    """The third host is empty, and only the first VM of each of the others may move: both go, unless they are a group."""
    vms = [(4, 0), (4, 1)] + [(4, 0), (4, 1)] * 3
    free = cluster([(32, 4)] * 3, vms, fixed=range(2, 8))
    apart = cluster([(32, 4)] * 3, vms, fixed=range(2, 8), spread=[[0, 1]])

    assert moved(plan_balance(free)) == {0: (0, 2), 1: (1, 2)}
    assert len(plan_balance(apart).moves) == 1


def test_load_and_vcpus_have_limits_too() -> None:
    """The second host takes 100 percent of load, or two vCPUs: of four VMs with 90 percent and a vCPU one, two come."""
    state = cluster([(32, 4)] * 2, [(4, 0)] * 6, load=[90] * 6)
    load = replace(state, hosts=replace(state.hosts, most_load_percent=np.array([np.inf, 100.0])))
    vcpus = replace(state, hosts=replace(state.hosts, most_vcpus=np.array([np.inf, 2.0])))

    assert len(plan_balance(state).moves) == 3
    assert len(plan_balance(load).moves) == 1
    assert len(plan_balance(vcpus).moves) == 2


def test_no_more_moves_than_asked_for_and_the_rest_later() -> None:
    state = cluster([(32, 4)] * 4, [(4, 0)] * 8)

    first = plan_balance(state, most_moves=2)
    second = plan_balance(state.with_places(first.end))

    assert len(first.moves) == 2
    assert len(second.moves) == 4
    assert second.after.score == 0.0


def test_so_many_moves_are_those_that_do_most() -> None:
    """Nine of twelve VMs are on the first of four hosts: six go."""
    state = cluster([(64, 8)] * 4, [(4, 0)] * 9 + [(4, 1), (4, 2), (4, 3)])

    scores = [plan_balance(state, most_moves=most).after.score for most in range(8)]

    assert scores == sorted(scores, reverse=True)
    assert [len(plan_balance(state, most_moves=most).moves) for most in range(8)] == [0, 1, 2, 3, 4, 5, 6, 6]


def test_a_cluster_of_one_host_or_none_and_one_without_guests() -> None:
    assert plan_balance(cluster([(32, 4)], [(4, 0)] * 3)).moves == ()
    assert plan_balance(cluster([(32, 4)] * 3, [])).moves == ()
    assert plan_balance(cluster([], [])).moves == ()


@given(clusters(), st.sampled_from([CHEAP, TINY, Price()]), st.integers(0, 2**32))
def test_no_legal_order_breaks_a_hard_rule(state: ClusterState, price: Price, seed: int) -> None:
    """A guest that moves counts on both hosts until it has arrived."""
    plan = plan_balance(state, price=price)
    before = broken(state)
    place = state.vms.host.copy()
    for position in any_order(plan, seed):
        move = plan.moves[position]
        assert place[move.vm] == move.source
        place[move.vm] = move.target
        assert broken(state.with_places(place)) <= before
        assert state.rules.allowed[state.vms.kind[move.vm], move.target]
        assert state.hosts.receives[move.target]
    assert (place == plan.end).all()


@given(clusters(), st.sampled_from([CHEAP, TINY, Price()]))
def test_a_second_run_plans_nothing(state: ClusterState, price: Price) -> None:
    plan = plan_balance(state, price=price)

    assert plan_balance(state.with_places(plan.end), price=price).moves == ()


@pytest.mark.parametrize(
    ("hosts", "vms", "load"),
    [
        (
            3,
            [
                (8, 2),
                (8, 2),
                (3, 2),
                (1, 2),
                (8, 1),
                (2, 0),
                (8, 2),
                (16, 1),
                (1, 0),
                (1, 2),
                (16, 0),
                (8, 0),
            ],
            [10, 90, 90, 10, 0, 10, 90, 0, 90, 40, 90, 0],
        ),
        (
            2,
            [(5, 0), (3, 1), (16, 1), (8, 1), (5, 1), (8, 0), (2, 0), (1, 0), (2, 0)],
            [0, 40, 0, 10, 40, 10, 90, 0, 0],
        ),
    ],
)
def test_what_a_second_search_finds_is_in_the_plan(
    hosts: int, vms: list[tuple[int, int]], load: list[float]
) -> None:
    """Clusters so full that one search leaves something to gain from where its moves end."""
    state = cluster([(32, 4)] * hosts, vms, load=load)

    plan = plan_balance(state, price=TINY)

    assert plan.moves
    assert plan_balance(state.with_places(plan.end), price=TINY).moves == ()


@given(clusters(), st.sampled_from([CHEAP, TINY, Price()]))
def test_moves_gain_more_than_they_cost(state: ClusterState, price: Price) -> None:
    plan = plan_balance(state, price=price)

    if plan.moves:
        assert plan.before.score - plan.after.score > plan.cost > 0.0


@given(clusters(), st.integers(0, 2**32))
def test_other_names_for_hosts_change_nothing_but_names(state: ClusterState, seed: int) -> None:
    """Where no two VMs are alike. (Between alike ones the lower position decides, and the end may be another.)"""
    chance = random.Random(seed)
    state = all_different(state, chance)
    order = np.array(chance.sample(range(len(state.hosts.cpus)), len(state.hosts.cpus)), dtype=np.int64)
    renamed = with_hosts_in_order(state, order)

    one, other = plan_balance(state, price=CHEAP), plan_balance(renamed, price=CHEAP)

    assert other.after.score == pytest.approx(one.after.score, abs=1e-9)
    assert (order[other.end] == one.end).all()


@given(clusters())
def test_the_same_input_gives_the_same_plan(state: ClusterState) -> None:
    assert plan_balance(state).moves == plan_balance(state).moves


def any_order(plan: BalancePlan, seed: int) -> list[int]:
    """A random order in which every move comes after those that it waits for."""
    chance = random.Random(seed)
    done: list[int] = []
    waiting = set(range(len(plan.moves)))
    while waiting:
        ready = sorted(one for one in waiting if set(plan.moves[one].after) <= set(done))
        done.append(chance.choice(ready))
        waiting.remove(done[-1])
    return done


def all_different(state: ClusterState, chance: random.Random) -> ClusterState:
    """The same cluster with loads of VMs and of hosts that no sum makes equal."""
    load = np.array([one + chance.random() for one in state.vms.load_percent])
    extra = np.array([10 * chance.random() for _ in state.hosts.cpus])
    return replace(
        state,
        vms=replace(state.vms, load_percent=load),
        hosts=replace(state.hosts, extra_load_percent=extra),
    )


def with_hosts_in_order(state: ClusterState, order: np.ndarray) -> ClusterState:
    """Position n of the result is the host at order[n]."""
    hosts = Hosts(*(getattr(state.hosts, name)[order] for name in Hosts.__slots__))
    places = np.argsort(order)[state.vms.host]
    rules = Rules(state.rules.allowed[:, order], state.rules.spread, state.rules.gather)
    return ClusterState(hosts, replace(state.vms, host=places), rules)
