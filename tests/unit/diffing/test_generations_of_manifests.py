"""A VM's record counts the manifests that it had: with each change by one, with nothing else."""

from dataclasses import replace

from reconciler.model.desired import Desired
from tests.laws.estates import EstateSpec, HostSpec, VmSpec, build, reseal
from tests.laws.worlds import OPTIONS
from tests.scenarios.stage import Stage, make_stage

VM = "vm/v0"


def declared() -> Desired:
    return build(EstateSpec((HostSpec(8),), (VmSpec(0),)))


def generation(stage: Stage, desired: Desired) -> int:
    done = stage.converge(desired, OPTIONS)
    record = done.observed.vms[done.identities.vms[VM]].record
    assert record is not None
    assert record.manifest_digest == desired.vms[VM].meta.digest
    return record.manifest_generation


def test_a_new_vm_has_its_first_manifest():
    desired = declared()

    assert generation(make_stage(desired), desired) == 1


def test_each_change_of_the_manifest_is_counted_once():
    desired = declared()
    stage = make_stage(desired)
    stage.converge(desired, OPTIONS)
    second = replace(desired, vms={VM: reseal(replace(desired.vms[VM], priority=90))})

    assert [generation(stage, one) for one in (desired, second, second, desired)] == [1, 2, 2, 3]


def test_what_happens_to_the_guest_is_no_change_of_its_manifest():
    desired = declared()
    stage = make_stage(desired)
    stage.converge(desired, OPTIONS)
    before = generation(stage, desired)
    host, guest = stage.find_guest(VM)
    host.guests.pop(guest.config.uuid)
    host.changed()

    assert generation(stage, desired) == before
