"""The graph of steps: one order however they come, and the shortest cycle told in one way."""

import itertools

import pytest

from reconciler.model.plan import Edge, Estimate, Step
from reconciler.planning.cycles import find_cycle
from reconciler.planning.graph import StepCycleError, followers, sort_steps


def step(name: str, *after: str, seconds: int = 1) -> Step:
    edges = tuple(Edge(one, f"{one}-before-{name}") for one in after)
    return Step(name, "start-vm", name, "host/h1", "", {}, (), after=edges, estimate=Estimate(seconds))


def test_ties_go_by_key_then_by_id_whatever_order_they_come_in():
    steps = [step("d"), step("c", "d"), step("b"), step("a", "b")]

    orders = {
        tuple(one.id for one in sort_steps(given, lambda _: ())) for given in itertools.permutations(steps)
    }

    assert orders == {("b", "a", "d", "c")}


def test_the_key_goes_before_the_id():
    ordered = sort_steps([step("a"), step("b")], lambda one: (one.id == "a",))

    assert [one.id for one in ordered] == ["b", "a"]


CYCLES = [
    ([step("a", "b"), step("b", "a")], "a -[a-before-b]-> b -[b-before-a]-> a"),
    ([step("a", "a")], "a -[a-before-a]-> a"),
    (
        [step("a", "c"), step("b", "a"), step("c", "b"), step("x", "y"), step("y", "x")],
        "x -[x-before-y]-> y -[y-before-x]-> x",
    ),
]


@pytest.mark.parametrize(("steps", "text"), CYCLES)
def test_the_shortest_cycle_is_told_from_its_first_id_on_with_every_rule(steps, text):
    assert {find_cycle(list(given)) for given in itertools.permutations(steps)} == {text}


@pytest.mark.parametrize(("steps", "text"), CYCLES)
def test_steps_that_wait_for_each_other_have_no_order(steps, text):
    with pytest.raises(StepCycleError, match=text.split(" ", maxsplit=1)[0]):
        sort_steps(steps, lambda _: ())


def test_without_a_cycle_there_is_none_to_tell():
    assert find_cycle([step("a"), step("b", "a")]) is None


def test_followers_are_those_that_wait():
    assert followers([step("a"), step("b", "a"), step("c", "a")]) == {"a": ("b", "c"), "b": (), "c": ()}
