"""Plans that come twice, late, or from two appliers at once: each effect once, and who is late is told why."""

import asyncio
import signal
from pathlib import Path

import pytest

from nodeagent.wire.orders import Revocation
from reconciler.agentlink.protocol import OrderRefusedError
from reconciler.cli.fleet import open_fleet
from reconciler.cli.loading import load_data_center
from reconciler.execution.leases import Leases
from reconciler.execution.orders import make_order, no_secrets
from reconciler.model.plan import Plan, Step
from tests.lab.apply_estate import SLOW_MIGRATION, Estate, environment, finish, other_home, wait_for


def write_plan(estate: Estate, name: str = "plan.json") -> tuple[Plan, Path]:
    file = estate.directory / name
    plan, _ = estate.plan("--out", str(file))
    return plan, file


def apply_file(estate: Estate, file: Path, *words: str) -> tuple[int, str]:
    done = estate.ostler("apply", str(file), "--yes", *words)
    return done.status, done.out + done.err


def test_a_plan_is_applied_once(estate: Estate) -> None:
    vm = estate.declare_vm("once", disk=None)
    _, file = write_plan(estate)
    status, said = apply_file(estate, file)
    assert status == 0, said
    before = estate.see(vm)
    status, said = apply_file(estate, file)
    assert status == 5, said
    assert "already" in said
    estate.assert_undisturbed(vm, before)
    estate.assert_settled()


def test_a_plan_that_the_world_has_overtaken_is_refused(estate: Estate) -> None:
    vm = estate.declare_vm("stale", disk=None)
    _, file = write_plan(estate, "stale.json")
    estate.apply()
    before = estate.see(vm)
    (estate.home / "store.sqlite").unlink()
    status, said = apply_file(estate, file)
    assert status == 5, said
    assert vm in said
    estate.assert_undisturbed(vm, before)


def test_a_plan_whose_manifests_changed_or_that_nobody_approved_is_refused(estate: Estate) -> None:
    vm = estate.declare_vm("edited", disk=None)
    _, file = write_plan(estate, "edited.json")
    estate.change(vm, memory="160Mi")
    estate.write()
    status, said = apply_file(estate, file)
    assert (status, vm in said) == (5, True), said
    _, file = write_plan(estate, "other.json")
    status, said = apply_file(estate, file, "--expect", "0" * 64)
    assert (status, "digest" in said) == (5, True), said
    assert estate.homes(vm) == []


def test_two_appliers_from_two_stores_have_one_effect(estate: Estate, tmp_path: Path) -> None:
    vm = estate.declare_vm("wanted", placement={"hosts": ["h1"]})
    estate.change("cluster/main", migration=SLOW_MIGRATION)
    estate.apply()
    before = estate.see(vm)
    estate.change(vm, placement={"hosts": ["h2"]})
    first = estate.apply_in_background()
    wait_for(lambda: estate.migration_runs(vm, "h1"), "the migration")
    more = estate.declare_vm("more", disk=None, placement={"hosts": ["h1"]})
    second = estate.apply(status=5, home=other_home(estate.home, tmp_path / "home"))
    assert "ostler" in second.err
    assert estate.homes(more) == []
    finish(first, (0, 3))
    estate.apply_until_settled()
    estate.assert_undisturbed(vm, before, moved=True)
    assert len(estate.homes(more)) == 1
    estate.assert_settled()


def test_two_stores_in_one_home_are_two_appliers(estate: Estate, tmp_path: Path) -> None:
    vm = estate.declare_vm("stored", placement={"hosts": ["h1"]})
    estate.change("cluster/main", migration=SLOW_MIGRATION)
    estate.apply()
    before = estate.see(vm)
    estate.change(vm, placement={"hosts": ["h2"]})
    first = estate.apply_in_background()
    wait_for(lambda: estate.migration_runs(vm, "h1"), "the migration")
    more = estate.declare_vm("more-stored", disk=None, placement={"hosts": ["h1"]})
    with environment(OSTLER_STORE=str(tmp_path / "other.sqlite")):
        asked = estate.ostler("takeover", "-f", str(estate.write()))
        assert (asked.status, str(estate.home / "store.sqlite") in asked.out) == (5, True), asked
        estate.apply(status=5)
    assert estate.homes(more) == []
    finish(first, (0, 3))
    estate.apply_until_settled()
    estate.assert_undisturbed(vm, before, moved=True)
    estate.assert_settled()


def test_two_appliers_that_begin_at_once_start_each_vm_once(estate: Estate, tmp_path: Path) -> None:
    vms = [estate.declare_vm(f"race-{number}", disk=None) for number in range(3)]
    homes = [estate.home, other_home(estate.home, tmp_path / "home")]
    runs = [estate.apply_in_background(home=home) for home in homes]
    for process in runs:
        finish(process, (0, 3, 4, 5))
    assert 0 in [process.returncode for process in runs] or estate.steps() != []
    estate.apply_until_settled(statuses=(0, 3, 4, 5))
    for vm in vms:
        assert len(estate.homes(vm)) == 1
        run = estate.record(vm).run
        assert run is not None
        assert run.number == 1


def test_a_takeover_ends_the_other_applier_and_the_order_it_gave_goes_on(
    estate: Estate, tmp_path: Path
) -> None:
    vm = estate.declare_vm("taken", placement={"hosts": ["h1"]})
    estate.change("cluster/main", migration=SLOW_MIGRATION)
    estate.apply()
    before = estate.see(vm)
    estate.change(vm, placement={"hosts": ["h2"]})
    first = estate.apply_in_background()
    wait_for(lambda: estate.migration_runs(vm, "h1"), "the migration")
    other = other_home(estate.home, tmp_path / "home")
    more = estate.declare_vm("more-taken", disk=None, placement={"hosts": ["h1"]})
    estate.apply("--takeover", status=(0, 3), home=other)
    assert estate.homes(more) == ["h1"]
    finish(first, (0, 3, 4, 5))
    estate.apply_until_settled()
    estate.assert_undisturbed(vm, before, moved=True)


@pytest.fixture
def late_step(estate: Estate) -> Step:
    """A step that makes a disk."""
    estate.declare("Disk", "late", storageDomain="shared", size="4Mi", format="raw")
    plan, _ = estate.plan()
    return next(step for step in plan.steps if step.kind == "create-disk")


def test_an_order_that_comes_after_its_revocation_is_refused(estate: Estate, late_step: Step) -> None:
    async def send_late() -> str:
        desired, _ = load_data_center([str(estate.write())])
        async with open_fleet(desired) as fleet:
            link = fleet[late_step.host]
            state = await link.state()
            assert state is not None
            uuid = desired.data_center.uuid
            leases = Leases(fleet, data_center=uuid, holder="late", epoch_above=state.lease.epoch)
            async with leases.kept():
                await leases.acquire([late_step.host], {late_step.host: state})
                lease = leases.lease(late_step.host)
                order = make_order(
                    late_step, key="late/1", data_center=uuid, lease=lease,
                    now_s=asyncio.get_running_loop().time(), outputs={}, secrets=no_secrets, digest_key=b"",
                )  # fmt: skip
                revoked = await link.revoke(Revocation("late/1", "late", lease.grant.epoch))
                assert revoked.state == "revoked"
                with pytest.raises(OrderRefusedError) as refused:
                    await link.order(order)
                return refused.value.refusal.reason

    with environment(OSTLER_HOME=str(estate.home)):
        assert asyncio.run(send_late()) == "revoked"
    assert not (estate.master / "images" / estate.uuid("disk/late")).exists()
    estate.apply()
    assert (estate.master / "images" / estate.uuid("disk/late")).exists()
    estate.assert_settled()


def test_an_interrupted_apply_finishes_what_runs_and_the_next_one_goes_on(estate: Estate) -> None:
    vm = estate.declare_vm("interrupted", placement={"hosts": ["h1"]})
    estate.change("cluster/main", migration=SLOW_MIGRATION)
    estate.apply()
    before = estate.see(vm)
    estate.change("host/h1", maintenance=True)
    estate.change(vm, placement={"hosts": ["h1", "h2"]})
    process = estate.apply_in_background()
    wait_for(lambda: estate.migration_runs(vm, "h1"), "the migration")
    process.send_signal(signal.SIGINT)
    said = finish(process, (4,))
    assert "host/h1#enter-maintenance" in said, said
    estate.assert_undisturbed(vm, before, moved=True)
    assert estate.steps() == ["host/h1#enter-maintenance"]
    estate.apply()
    estate.assert_settled()
