"""Whatever befell an estate and whatever is declared now: every legal order of the plan works, breaks no promise,
disturbs as it said, and leads to where nothing is left to do."""

import random

from hypothesis import assume, given
from hypothesis import strategies as st

from nodeagent.wire.arguments import ARGUMENTS
from nodeagent.wire.records import DiskRecord, VmRecord
from reconciler.model.capacity import guest_footprint, host_capacity
from reconciler.model.change import Disruption
from reconciler.model.desired import Desired
from reconciler.model.plan import Plan, Step
from reconciler.simulation.world import World
from tests.laws.worlds import OPTIONS, History, histories, quiet_histories
from tests.scenarios.stage import Stage, carry_out, carry_out_step

MOST_PASSES = 4
NEEDS_OTHERS_GONE = (
    "Memory dropped",
    "no room",
    "cannot be renamed",
    "it is to get",
    "used by a guest",
    "holds disks",
)
"""What waits for guests that this very plan stops, moves or restarts, or disks that it removes: the next plan finds them
gone."""


def shuffled(plan: Plan, seed: int) -> list[Step]:
    """The steps in a legal order chosen at random."""
    waiting, done, order = list(plan.steps), set(), []
    choose = random.Random(seed)
    while waiting:
        ready = [step for step in waiting if all(edge.step in done for edge in step.after)]
        step = choose.choice(ready)
        waiting.remove(step)
        done.add(step.id)
        order.append(step)
    return order


def lives(world: World) -> dict[str, tuple[str, int]]:
    """For each guest its host, and a mark that a restart loses and a migration keeps."""
    return {
        uuid: (host.id, guest.started_ms)
        for host in world.hosts.values()
        for uuid, guest in host.guests.items()
        if guest.managed
    }


def mark_lives(world: World) -> None:
    """Gives each guest a mark of its own."""
    for number, guest in enumerate(one for host in world.hosts.values() for one in host.guests.values()):
        guest.started_ms = number + 1


@given(histories(), st.integers(0, 2**32))
def test_any_legal_order_of_the_steps_works_and_breaks_no_promise(history: History, seed: int):
    stage, desired = history.stage(), history.desired()
    plan = stage.plan(desired, OPTIONS).plan

    carry_out(stage.world, plan, shuffled(plan, seed))

    stage.world.check()
    assert plan.problems == ()


@given(histories())
def test_repeated_passes_lead_to_where_nothing_is_left_to_do(history: History):
    stage, desired = history.stage(), history.desired()

    for _ in range(MOST_PASSES):
        plan = stage.plan(desired, OPTIONS).plan
        if not plan.steps:
            break
        carry_out(stage.world, plan)

    assert [step.id for step in plan.steps] == []


@given(quiet_histories())
def test_where_all_goes_well_and_there_is_room_one_plan_is_enough(history: History):
    stage, desired = history.stage(), history.desired()
    plan = stage.plan(desired, OPTIONS).plan
    waiting = (*plan.blocked, *plan.deferred)
    assume(not any(hint in one.reason for one in waiting for hint in NEEDS_OTHERS_GONE))

    carry_out(stage.world, plan)

    rest = stage.plan(desired, OPTIONS).plan
    assert [step.id for step in rest.steps] == []


@given(histories(), st.integers(0, 2**32))
def test_guests_feel_what_the_plan_predicted_and_nothing_else(history: History, seed: int):
    stage, desired = history.stage(), history.desired()
    mark_lives(stage.world)
    plan, before = stage.plan(desired, OPTIONS).plan, lives(stage.world)

    carry_out(stage.world, plan, shuffled(plan, seed))

    after = lives(stage.world)
    predicted = {uuid: predicted_for(plan, uuid) for uuid in before}
    assert predicted == {uuid: felt(life, after.get(uuid)) for uuid, life in before.items()}


def predicted_for(plan: Plan, uuid: str) -> Disruption:
    """The worst that the plan says of one guest; removing the record of a stopped VM is felt by no guest."""
    order = list(Disruption)
    steps = (step for step in plan.steps if step.kind not in ("remove-vm", "remove-disk", "purge-vm"))
    found = [step.disruption for step in steps if uuid in (step.args.get("vm"), _uuid_of(step))]
    return max(found, key=order.index, default=Disruption.NONE)


def _uuid_of(step: Step) -> str | None:
    config = step.args.get("config")
    return config["uuid"] if config else None


def felt(before: tuple[str, int], after: tuple[str, int] | None) -> Disruption:
    """What a guest went through, by its host and mark before and after."""
    if after is None:
        return Disruption.POWER_OFF
    if before[1] != after[1]:
        return Disruption.RESTART
    return Disruption.NONE if before[0] == after[0] else Disruption.LIVE_MIGRATE


@given(histories(), st.integers(0, 2**32))
def test_no_step_newly_overfills_a_host(history: History, seed: int):
    stage, desired = history.stage(), history.desired()
    plan = stage.plan(desired, OPTIONS).plan

    for step in shuffled(plan, seed):
        before = used(stage)
        carry_out_step(stage.world, step)
        for host, bytes_used in used(stage).items():
            capacity = host_capacity(stage.world.hosts[host].capabilities, 100)
            assert bytes_used <= max(capacity, before[host]), f"{step.id} overfills {host}"


def used(stage: Stage) -> dict[str, int]:
    """Bytes that guests take from each host."""
    return {
        name: sum(guest_footprint(guest.config) for guest in host.guests.values())
        for name, host in stage.world.hosts.items()
    }


@given(histories())
def test_nothing_is_started_that_may_run_somewhere(history: History):
    stage, desired = history.stage(), history.desired()
    plan = stage.plan(desired, OPTIONS).plan

    for step in plan.steps:
        if step.kind == "start-vm":
            assert step.evidence is not None
            uuid = step.args["config"]["uuid"]
            assert all(uuid not in host.guests for host in stage.world.hosts.values()), step.id


@given(histories())
def test_nothing_is_destroyed_without_the_consent_that_its_record_holds(history: History):
    stage, desired = history.stage(), history.desired()
    plan = stage.plan(desired, OPTIONS).plan

    for step in plan.steps:
        if step.kind in ("purge-disk", "purge-vm"):
            assert_kept_long_enough(stage, desired, step)
        elif step.kind in ("remove-vm", "remove-disk") and not step.id.endswith("#set-aside"):
            uuid = step.args.get("vm") or step.args["record"]["image"]
            assert uuid in consents(stage), step.id
            assert step.object not in desired.vms
            assert step.object not in desired.disks
            assert step.disruption is Disruption.DATA_LOSS


def assert_kept_long_enough(stage: Stage, desired: Desired, step: Step) -> None:
    """Only what was removed with consent, the declared time ago, by a host that knows what time it is."""
    record: DiskRecord | VmRecord
    if step.kind == "purge-disk":
        record = stage.world.storage[step.args["storage_domain"]].disks[step.args["image"]]
    else:
        record = stage.world.storage[step.args["master"]].vms[step.args["vm"]]
    assert record.removed
    assert record.removed_at_ms is not None
    assert stage.world.wallclock_ms - record.removed_at_ms >= desired.data_center.retention_ms
    assert abs(stage.world.hosts[step.host].skew_ms) <= 2_000


def consents(stage: Stage) -> set[str]:
    """Uuids of the objects whose own record names them as to be destroyed."""
    records = [one for domain in stage.world.storage.values() for one in domain.vms.values()]
    disks = [one for domain in stage.world.storage.values() for one in domain.disks.values()]
    return {one.uuid for one in records if one.allow_destroy == one.uuid} | {
        one.image for one in disks if one.allow_destroy == one.image
    }


@given(histories())
def test_every_step_can_be_told_and_sent(history: History):
    plan = history.stage().plan(history.desired(), OPTIONS).plan

    ids = [step.id for step in plan.steps]
    assert len(ids) == len(set(ids))
    for step in plan.steps:
        assert step.kind in ARGUMENTS
        assert step.because, step.id
        assert all(edge.rule and edge.step in ids for edge in step.after)
