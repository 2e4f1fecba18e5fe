"""The simulated world refuses what real storage and agents refuse, and raises when a promise is broken."""

from dataclasses import replace

import pytest

from nodeagent.wire.records import RunHost
from reconciler.simulation.host import SimulatedGuest
from reconciler.simulation.storage import SimulationFault
from reconciler.simulation.world import BrokenPromiseError
from tests.laws.estates import EstateSpec, HostSpec, VmSpec, build
from tests.scenarios.stage import Stage, StepError, carry_out, make_stage

SPEC = EstateSpec((HostSpec(), HostSpec()), (VmSpec(0), VmSpec(1)))


@pytest.fixture
def stage() -> Stage:
    desired = build(SPEC)
    made = make_stage(desired)
    made.converge(desired)
    return made


def record_of(stage: Stage, vm: str):
    domain = next(iter(stage.world.storage.values()))
    return domain, next(one for one in domain.vms.values() if one.object == vm)


def test_a_guest_on_two_hosts_breaks_a_promise(stage):
    host, guest = stage.find_guest("vm/v0")
    other = next(one for one in stage.world.hosts.values() if one is not host)
    other.guests[guest.config.uuid] = SimulatedGuest(guest.config, 0)

    with pytest.raises(BrokenPromiseError, match=r"vm/v0 runs on .* and"):
        stage.world.check()


def test_the_receiving_end_of_a_migration_is_no_second_guest(stage):
    host, guest = stage.find_guest("vm/v0")
    other = next(one for one in stage.world.hosts.values() if one is not host)
    other.guests[guest.config.uuid] = SimulatedGuest(guest.config, 0, state="incoming")

    stage.world.check()


def test_a_volume_with_two_writers_breaks_a_promise(stage):
    _, one = stage.find_guest("vm/v0")
    _, two = stage.find_guest("vm/v1")
    two.config = replace(two.config, disks=one.config.disks)

    with pytest.raises(BrokenPromiseError, match="is written by"):
        stage.world.check()


def test_a_record_is_written_only_one_revision_above_the_one_there_is(stage):
    domain, record = record_of(stage, "vm/v0")

    for revision in (record.revision, record.revision + 2):
        with pytest.raises(SimulationFault, match="changed meanwhile"):
            domain.write_vm(replace(record, revision=revision))


def test_a_run_is_claimed_once(stage):
    domain, record = record_of(stage, "vm/v0")
    somewhere = RunHost("0d4a9d0e-3b0c-4c5b-9a55-0d2b6c1f0001", "0d4a9d0e-3b0c-4c5b-9a55-0d2b6c1f0002")

    with pytest.raises(SimulationFault, match="its run 1 is open"):
        domain.claim_run(record.uuid, 2, (somewhere,), "k")
    with pytest.raises(SimulationFault, match="cannot be claimed"):
        domain.claim_run(record.uuid, 1, record.run.hosts, "k")


def test_a_plan_is_carried_out_once(stage):
    desired = build(replace(SPEC, vms=(*SPEC.vms, VmSpec(2))))
    plan = stage.plan(desired).plan
    carry_out(stage.world, plan)

    with pytest.raises(StepError):
        carry_out(stage.world, plan)
