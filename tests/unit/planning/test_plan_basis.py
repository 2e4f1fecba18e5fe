"""What a plan rests on: whatever it touches, names or sends a guest to; if that changes, the plan is not admitted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.desired.declarations import read_declarations
from reconciler.desired.read import read_paths
from reconciler.desired.suggestions import Suggestions
from reconciler.execution.admission import Fresh, refuse_plan
from reconciler.model.desired import Cdrom, Desired
from reconciler.model.names import Kind
from reconciler.model.plan import Plan
from reconciler.model.references import parent_of
from reconciler.planning.basis import basis_of
from reconciler.version import PLANNER
from tests.laws.estates import EstateSpec, HostSpec, VmSpec, build, reseal
from tests.laws.worlds import OPTIONS
from tests.scenarios.stage import Stage, make_stage

EXAMPLES = Path(__file__).parents[3] / "examples" / "manifests"
Edit = Callable[[Desired], Desired]
VM, STOPPED = "vm/v0", "vm/v1"


def group_edit(group: str, name: str, **fields: object) -> Edit:
    def apply(desired: Desired) -> Desired:
        members = getattr(desired, group)
        return replace(desired, **{group: {**members, name: reseal(replace(members[name], **fields))}})

    return apply


def center_edit(desired: Desired) -> Desired:
    return replace(desired, data_center=reseal(replace(desired.data_center, mac_prefix="52:54:00")))


def farm(*vms: VmSpec) -> Desired:
    return build(EstateSpec((HostSpec(8), HostSpec(8)), vms, domains=3))


def with_cd(desired: Desired, *hosts: str) -> Desired:
    return group_edit("vms", VM, cdrom=Cdrom("sd/silver", "debian.iso"), hosts=hosts)(desired)


def planned() -> tuple[Stage, Desired, Plan]:
    """h2 is emptied: v0, with a CD of another domain, moves to h1. v1 is new, with a disk that h1 has for itself."""
    before = with_cd(farm(VmSpec(0)), "host/h2")
    stage = make_stage(before)
    stage.converge(before, OPTIONS)
    after = with_cd(farm(VmSpec(0), VmSpec(1, domain=2)))
    after = group_edit("hosts", "host/h2", maintenance=True)(after)
    return stage, after, stage.plan(after, OPTIONS).plan


EDITS: dict[str, Edit] = {
    "dc/farm": center_edit,
    "cluster/main": group_edit("clusters", "cluster/main", memory_overcommit_percent=150),
    "net/n0": group_edit("networks", "net/n0", mtu=9000),
    "sd/shared": group_edit("storage_domains", "sd/shared", description="fast"),
    "sd/silver": group_edit("storage_domains", "sd/silver", description="of the CD"),
    "sd/local": group_edit("storage_domains", "sd/local", description="on one host"),
    "disk/v0-0": group_edit("disks", "disk/v0-0", description="root"),
    "disk/v1-0": group_edit("disks", "disk/v1-0", description="root"),
    VM: group_edit("vms", VM, priority=90),
    STOPPED: group_edit("vms", STOPPED, priority=90),
    "host/h1": group_edit("hosts", "host/h1", port=54331),
    "host/h2": group_edit("hosts", "host/h2", port=54331),
}


def objections(stage: Stage, plan: Plan, desired: Desired) -> list[str]:
    fresh = stage.plan(desired, OPTIONS)
    basis = basis_of(desired, fresh.observed, plan.steps)
    judged = Fresh(PLANNER, desired.data_center.uuid, basis, fresh.observed)
    return [one.summary for one in refuse_plan(plan, judged) if one.reason == "stale"]


def test_every_object_that_the_example_declares_is_tried():
    _, desired, _ = planned()
    groups = (
        desired.clusters,
        desired.hosts,
        desired.networks,
        desired.storage_domains,
        desired.disks,
        desired.vms,
    )

    assert {name for group in groups for name in group} | {"dc/farm"} == EDITS.keys()


@pytest.mark.parametrize("name", sorted(EDITS))
def test_a_plan_is_stale_once_something_that_it_rests_on_has_changed(name: str):
    stage, desired, plan = planned()
    assert objections(stage, plan, desired) == []

    assert objections(stage, plan, EDITS[name](desired)) == [
        f"{name} changed in the manifests since the plan was made"
    ]


def migration() -> tuple[Stage, Desired, Plan, str]:
    """A plan of the migration alone, and where it goes."""
    stage, desired, plan = planned()
    (step,) = (one for one in plan.steps if one.kind == "migrate-vm")
    (name,) = (name for name, host in desired.hosts.items() if host.uuid == step.args["destination"])
    alone = replace(step, leases=())
    observed = stage.plan(desired, OPTIONS).observed
    return stage, desired, replace(plan, steps=(alone,), basis=basis_of(desired, observed, (alone,))), name


def test_a_migration_rests_on_the_host_that_it_goes_to():
    stage, desired, plan, name = migration()

    emptied = group_edit("hosts", name, maintenance=True)(desired)

    assert f"{name} changed in the manifests since the plan was made" in objections(stage, plan, emptied)


def test_a_migration_to_a_host_that_nobody_declares_any_more_is_stale():
    stage, desired, plan, name = migration()
    left = {other: host for other, host in desired.hosts.items() if other != name}
    vms = {VM: desired.vms[VM]}
    domains = {one: domain for one, domain in desired.storage_domains.items() if one != "sd/local"}
    disks = {one: disk for one, disk in desired.disks.items() if one != "disk/v1-0"}

    gone = replace(desired, hosts=left, vms=vms, storage_domains=domains, disks=disks)

    assert f"{name} is not referenced any more since the plan was made" in objections(stage, plan, gone)


def test_a_start_rests_on_the_hosts_that_prove_that_the_guest_runs_nowhere():
    stage, desired, plan = planned()
    (step,) = (one for one in plan.steps if one.kind == "start-vm")
    observed = stage.plan(desired, OPTIONS).observed
    proven = replace(step, leases=("host/h2",))

    assert "host/h2" not in basis_of(desired, observed, (step,)).desired
    assert "host/h2" in basis_of(desired, observed, (proven,)).desired


def test_what_objects_belong_to_is_what_their_manifests_say():
    found = read_declarations(read_paths([str(EXAMPLES)], None).documents, Suggestions()).by_id
    assert {one.kind for one in found.values()} == set(Kind)
    for one in found.values():
        assert one.declared is not None
        root = one
        while root.belongs_to is not None:
            root = found[root.belongs_to]
        assert parent_of(one.declared, root.id) == one.belongs_to, one.id
