"""How many migrations a host takes part in at once: as the clusters say whose guests move, and no others."""

from dataclasses import replace

from reconciler.model.desired import Cluster, Desired, Meta, MigrationLimits
from reconciler.model.plan import Plan
from tests.laws.estates import EstateSpec, HostSpec, VmSpec, build, reseal
from tests.laws.worlds import OPTIONS
from tests.scenarios.stage import make_stage

OTHER = "cluster/other"


def clusters_of(main: int, other: int) -> Desired:
    """h1 and h2 in one cluster with v0, h3 and h4 in another with v1."""
    desired = build(EstateSpec((HostSpec(),) * 4, (VmSpec(0, nics=0), VmSpec(1, nics=0)), networks=1))
    second = Cluster(Meta(OTHER, "other", ""), migration=MigrationLimits(concurrent_per_host=other))
    first = replace(desired.clusters["cluster/main"], migration=MigrationLimits(concurrent_per_host=main))
    moved = {
        name: reseal(replace(desired.hosts[name], cluster=OTHER, networks=()))
        for name in ("host/h3", "host/h4")
    }
    return replace(
        desired,
        clusters={"cluster/main": reseal(first), OTHER: reseal(second)},
        hosts={**desired.hosts, **moved},
        vms={**desired.vms, "vm/v1": reseal(replace(desired.vms["vm/v1"], cluster=OTHER))},
    )


def emptying(desired: Desired, *names: str) -> Plan:
    stage = make_stage(desired)
    stage.converge(desired, OPTIONS)
    closed = {name: reseal(replace(desired.hosts[name], maintenance=True)) for name in names}
    return stage.plan(replace(desired, hosts={**desired.hosts, **closed}), OPTIONS).plan


def test_a_cluster_whose_guests_stay_limits_nobody():
    plan = emptying(clusters_of(main=8, other=1), "host/h1")

    assert [step.object for step in plan.steps if step.kind == "migrate-vm"] == ["vm/v0"]
    assert plan.limits == {"migrations-per-host": {"host/h1": 8, "host/h2": 8}}


def test_each_host_has_the_limit_of_the_guests_that_it_sends_and_takes():
    plan = emptying(clusters_of(main=8, other=1), "host/h1", "host/h3")

    assert plan.limits == {"migrations-per-host": {"host/h1": 8, "host/h2": 8, "host/h3": 1, "host/h4": 1}}


def test_a_plan_without_migrations_has_no_limits():
    assert emptying(clusters_of(main=8, other=1)).limits == {}
