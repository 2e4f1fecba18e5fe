"""Placement never newly breaks a hard rule: what a step does to a guest leaves it where all that it needs is there."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from nodeagent.wire.guest import GuestConfig
from reconciler.model.desired import Desired
from reconciler.simulation.host import SimulatedHost
from tests.laws.test_plans_are_carried_out import shuffled
from tests.laws.worlds import OPTIONS, History, histories
from tests.scenarios.stage import Stage, carry_out_step

ANYWHERE = ("host-passthrough", "maximum", "host-model")


@given(histories(), st.integers(0, 2**32))
def test_no_step_newly_breaks_a_hard_rule(history: History, seed: int):
    stage, desired = history.stage(), history.desired()
    plan = stage.plan(desired, OPTIONS).plan

    for step in shuffled(plan, seed):
        before = broken(stage, desired)
        carry_out_step(stage.world, step)
        assert broken(stage, desired) - before == set(), step.id


def broken(stage: Stage, desired: Desired) -> set[tuple[str, str, str]]:
    """Guests by uuid and host, with each rule that they break there."""
    return {
        (uuid, host.id, rule)
        for host in stage.world.hosts.values()
        for uuid, guest in host.guests.items()
        for rule in (*lacking(host, guest.config), *forbidden(desired, host.id, guest.config.object))
    }


def lacking(host: SimulatedHost, guest: GuestConfig) -> Iterator[str]:
    """What the guest needs and the host does not have."""
    yield from (f"network {nic.bridge}" for nic in guest.nics if nic.bridge not in host.networks)
    needed = {disk.storage_domain for disk in guest.disks}
    yield from (f"storage {domain}" for domain in needed if not host.connected.get(domain))
    if guest.cpu.model not in (*ANYWHERE, *host.capabilities.cpu_models):
        yield "cpu"
    if guest.machine not in host.capabilities.machines:
        yield "machine"


def forbidden(desired: Desired, host: str, name: str) -> Iterator[str]:
    """Why a declared VM is not to be there."""
    vm, where = desired.vms.get(name), desired.hosts.get(host)
    if vm is None or where is None:
        return
    if where.maintenance:
        yield "maintenance"
    if vm.cluster != where.cluster:
        yield "cluster"
    if vm.hosts and host not in vm.hosts:
        yield "pinned"
