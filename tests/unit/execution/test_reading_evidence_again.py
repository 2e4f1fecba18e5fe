"""What a host's fresh answer says about a VM that is to start elsewhere."""

from dataclasses import replace

import pytest

from nodeagent.wire.facts import HostState, OrderFacts
from reconciler.execution.rechecking import Hosts, Target, objection_in, recheck
from reconciler.simulation.clock import run_in_virtual_time
from tests.fakes.fleet import make_fleet, states_of, uuid_of

from .conftest import make_step

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


@pytest.mark.parametrize("kind", ["purge-disk", "purge-vm"])
@pytest.mark.parametrize(
    ("ours", "objects"), [(0, False), (2_000, False), (-2_000, False), (2_001, True), (None, True)]
)
def test_before_a_purge_the_hosts_clock_is_compared_with_ours_once_more(
    ours: int | None, objects: bool, kind: str
) -> None:
    fleet = make_fleet(1)
    step = make_step("a", kind=kind)
    hosts = Hosts({"host/h1": fleet["host/h1"].uuid}, (lambda: ours) if ours is not None else None)

    assert bool(run_in_virtual_time(recheck(step, fleet, hosts))) is objects
