"""A world made from what was observed: planning there finds what planning with the observed file finds."""

from dataclasses import replace

from reconciler.agentlink.gathering import HostName, gather
from reconciler.cli.worlds import HostSize, found_world
from reconciler.model.desired import Desired
from reconciler.model.reports import Reports
from reconciler.pipeline import run_pass
from reconciler.planfile.text import render_text
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.simulation.link import link_fleet
from reconciler.simulation.world import World
from tests.scenarios.manifests import read_desired
from tests.scenarios.stage import Stage, make_stage

SIZE = HostSize(64 * 2**30, 16)


def declared() -> Desired:
    desired, problems = read_desired(["center", "h1", "h2", "web-1", "db-1"], None)
    assert desired is not None, problems
    return desired


def running() -> tuple[Desired, Stage]:
    desired = declared()
    stage = make_stage(desired)
    stage.converge(desired)
    return desired, stage


def observe(desired: Desired, world: World) -> Reports:
    names = [HostName(name, host.uuid) for name, host in desired.hosts.items()]
    domains = [one.uuid for one in desired.storage_domains.values()]

    async def ask() -> Reports:
        center = desired.data_center.meta.id
        return (await gather(link_fleet(world), names, domains, data_center=center)).reports

    return run_in_virtual_time(ask())


def plan_text(desired: Desired, reports: Reports) -> str:
    return render_text(run_pass(desired, reports).plan)


def test_nothing_is_to_be_done_in_the_copy_of_a_world_that_is_as_declared():
    desired, stage = running()

    copy = found_world(desired, SIZE, stage.observe(desired))

    assert plan_text(desired, observe(desired, copy)) == "dc/farm: nothing to do\n"


def test_drift_is_found_in_the_copy_as_in_the_world():
    desired, stage = running()
    stage.world.end_guest("vm/web-1", "destroyed")
    reports = stage.observe(desired)

    copy = found_world(desired, SIZE, reports)

    assert plan_text(desired, observe(desired, copy)) == plan_text(desired, reports)


def test_a_host_that_was_silent_is_cut_off_in_the_copy_so_that_its_vms_stay_blocked():
    desired, stage = running()
    stage.world.cut("host/h1")
    reports = stage.observe(desired)

    copy = found_world(desired, SIZE, reports)
    plan = run_pass(desired, observe(desired, copy)).plan

    assert not plan.steps
    assert {one.object for one in plan.blocked} == {
        one.object for one in run_pass(desired, reports).plan.blocked
    }


def test_a_power_cycle_in_the_copy_is_another_boot_than_the_one_observed():
    desired, stage = running()
    copy = found_world(desired, SIZE, stage.observe(desired))
    before = copy.hosts["host/h1"].boot_id

    copy.power_off("host/h1")
    copy.power_on("host/h1")

    assert copy.hosts["host/h1"].boot_id != before


def test_bare_hosts_have_the_nics_models_and_machines_that_manifests_name():
    desired = declared()
    cluster = replace(desired.clusters["cluster/main"], cpu_model="Rare-Model", machine="pc-q35-99")
    host = desired.hosts["host/h1"]
    attached = replace(host, networks=(replace(host.networks[0], nic="enp1s0"),))
    desired = replace(desired, clusters={"cluster/main": cluster}, hosts={"host/h1": attached})

    bare = found_world(desired, SIZE).hosts["host/h1"]

    assert "enp1s0" in bare.nics
    assert "Rare-Model" in bare.capabilities.cpu_models
    assert "pc-q35-99" in bare.capabilities.machines
    assert (bare.capabilities.memory_bytes, bare.capabilities.cores) == (64 * 2**30, 16)
