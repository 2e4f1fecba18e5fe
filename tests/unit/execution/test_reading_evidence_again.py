"""What a host's fresh answer says about a VM that is to start elsewhere."""

from dataclasses import replace

import pytest

from nodeagent.wire.facts import HostState, OrderFacts
from reconciler.execution.rechecking import Target, objection_in
from tests.fakes.fleet import make_fleet, states_of, uuid_of

VM = Target(uuid_of(0xA0001), "vm/web-1")


@pytest.fixture
def state() -> HostState:
    return states_of(make_fleet(1))["host/h1"]


def objection(state: HostState) -> str:
    return objection_in(VM, "host/h1", None, state)


def order(kind: str, state: str, name: str = "vm/web-1") -> OrderFacts:
    return OrderFacts(f"a1/{name}#{kind}", kind, name, state)  # type: ignore[arg-type]


def test_a_host_without_guest_process_and_order_is_no_objection(state):
    assert objection(state) == ""


@pytest.mark.parametrize("kind", ["start-vm", "reboot-vm", "migrate-vm"])
@pytest.mark.parametrize("end", ["accepted", "running", "unknown"])
def test_an_open_order_that_begins_the_guest_is_one_before_any_process_shows(state, kind, end):
    assert "about to run" in objection(replace(state, orders=(order(kind, end),)))


@pytest.mark.parametrize(
    "other",
    [
        order("start-vm", "failed"),
        order("start-vm", "running", "vm/web-2"),
        order("write-vm-record", "running"),
    ],
    ids=str,
)
def test_orders_that_have_ended_or_begin_no_guest_of_it_are_none(state, other):
    assert objection(replace(state, orders=(other,))) == ""
