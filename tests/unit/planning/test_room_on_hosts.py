"""Room while a plan runs: who waits for whom when hosts are full, and that nobody waits in a circle."""

from dataclasses import replace

from reconciler.model.plan import Plan
from tests.laws.estates import EstateSpec, HostSpec, VmSpec
from tests.laws.worlds import OPTIONS, History


def plan_of(before: EstateSpec, after: EstateSpec) -> Plan:
    history = History(before, (), after)
    return history.stage().plan(history.desired(), OPTIONS).plan


def waits(plan: Plan) -> dict[str, list[str]]:
    return {
        step.id: [edge.step for edge in step.after if edge.rule == "room-before-arrival"]
        for step in plan.steps
        if any(edge.rule == "room-before-arrival" for edge in step.after)
    }


HOSTS = (HostSpec(2), HostSpec(2), HostSpec(2))


def vm(number: int, home: int, **fields) -> VmSpec:
    return replace(VmSpec(number, memory=1024, nics=0, disks=(), pins=(home,)), **fields)


def test_an_arrival_waits_for_the_guest_whose_room_it_needs():
    before = EstateSpec(HOSTS, (vm(0, 0),))
    after = EstateSpec(HOSTS, (vm(0, 1), vm(1, 0)))

    assert waits(plan_of(before, after)) == {"vm/v1#start": ["vm/v0#migrate"]}


def test_an_arrival_for_which_there_is_room_waits_for_nobody():
    before = EstateSpec(HOSTS, (vm(0, 0, memory=256),))
    after = EstateSpec(HOSTS, (vm(0, 1, memory=256), vm(1, 0)))

    assert waits(plan_of(before, after)) == {}


def test_a_chain_of_moves_goes_from_its_end():
    before = EstateSpec(HOSTS, (vm(0, 0, priority=10), vm(1, 1, priority=90)))
    after = EstateSpec(HOSTS, (vm(0, 1, priority=10), vm(1, 2, priority=90)))

    plan = plan_of(before, after)

    assert waits(plan) == {"vm/v0#migrate": ["vm/v1#migrate"]}
    assert plan.problems == ()


def test_two_full_hosts_do_not_swap_guests_and_wait_in_no_circle():
    before = EstateSpec(HOSTS[:2], (vm(0, 0), vm(1, 1)))
    after = EstateSpec(HOSTS[:2], (vm(0, 1), vm(1, 0)))

    plan = plan_of(before, after)

    assert plan.problems == ()
    assert [step.id for step in plan.steps if step.kind == "migrate-vm"] == []
    assert [one.object for one in plan.blocked] == ["vm/v0", "vm/v1"]
