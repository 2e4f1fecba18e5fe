"""A master domain that came back empty holds everything; one that is new, or merely lost some records, does not."""

from dataclasses import replace

import pytest

from tests.laws.estates import EstateSpec, HostSpec, VmSpec, build
from tests.laws.worlds import OPTIONS
from tests.scenarios.events import master
from tests.scenarios.stage import Stage, make_stage

TWO_DOMAINS = build(EstateSpec((HostSpec(8), HostSpec(8)), (VmSpec(0), VmSpec(1)), networks=1, domains=2))


@pytest.fixture
def stage() -> Stage:
    """Two VMs run; copies of their records lie on the domain that is not the master."""
    made = make_stage(TWO_DOMAINS)
    made.converge(TWO_DOMAINS, OPTIONS)
    other = next(one for one in made.world.storage.values() if not one.master)
    other.vms |= master(made).vms
    return made


def is_held(stage: Stage) -> bool:
    plan = stage.plan(TWO_DOMAINS, OPTIONS).plan
    return any("docs/lost-master.md" in one.action for one in plan.blocked) and not plan.steps


def test_an_empty_master_beside_copies_holds_everything(stage: Stage):
    master(stage).vms.clear()

    assert is_held(stage)


def test_that_the_pools_record_is_there_makes_no_difference(stage: Stage):
    assert master(stage).pool is not None
    master(stage).vms.clear()

    assert is_held(stage)


def test_one_lost_record_is_a_matter_of_its_vm(stage: Stage):
    master(stage).vms.popitem()

    assert not is_held(stage)


def test_a_new_master_without_copies_elsewhere_is_no_lost_one(stage: Stage):
    for one in stage.world.storage.values():
        one.vms.clear()

    assert not is_held(stage)


def test_a_master_with_damaged_records_is_not_empty(stage: Stage):
    domain = master(stage)
    stage.damaged[domain.uuid] = set(domain.vms)

    assert not is_held(stage)


def test_copies_of_another_data_center_do_not_count(stage: Stage):
    master(stage).vms.clear()
    other = next(one for one in stage.world.storage.values() if not one.master)
    foreign = "0d4a9d0e-3b0c-4c5b-9a55-0d2b6c1f0042"
    other.vms.update({uuid: replace(one, data_center=foreign) for uuid, one in other.vms.items()})

    assert not is_held(stage)
