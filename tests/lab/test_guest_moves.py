"""Guests moved between two real hosts: the guest goes on, and whatever happens the record names where it can be."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from nodeagent.formats.vmrecords import claim_run
from nodeagent.operations.contract import OperationError
from nodeagent.wire.arguments import MigrateVm, PauseVm, StopVm
from nodeagent.wire.guest import CpuConfig, GuestConfig, MemoryConfig, VncConfig
from nodeagent.wire.records import RunHost
from tests.lab.guest_hosts import (
    MASTER,
    MIB,
    OPERATIONS,
    GuestHost,
    TestControl,
    make_disk,
    make_guest,
    make_nic,
    open_host,
    restart_libvirtd,
    start,
    wait_until,
)


@pytest.fixture(scope="module")
def pair(bare_lab, tmp_path_factory) -> Iterator[tuple[GuestHost, GuestHost]]:
    directory = tmp_path_factory.mktemp("pair")
    hosts = tuple(open_host(bare_lab, name, directory / name / "state") for name in ("h1", "h2"))
    yield hosts
    for host in hosts:
        host.host.hypervisor.close()
        host.host.storage.close()


@pytest.fixture(autouse=True)
def clean(pair) -> Iterator[None]:
    yield
    for host in pair:
        for row in host.host.hypervisor.list_guests():
            host.host.hypervisor.destroy(row.uuid)


def move(config: GuestConfig, destination: GuestHost, run: int, **fields: Any) -> MigrateVm:
    whole = {
        "bandwidth_mib_per_s": 0,
        "downtime_ms": 500,
        "timeout_ms": 120_000,
        "stall_ms": 0,
    }
    return MigrateVm(
        MASTER,
        config.uuid,
        run,
        destination.host.uuid,
        destination.host.boot_id,
        destination.host.address,
        **(whole | fields),
    )


def runners(host: GuestHost, config: GuestConfig) -> list[str]:
    run = host.record(config.uuid).run
    assert run.closed is None
    return [runner.uuid for runner in run.hosts]


def test_a_guest_moves_without_restarting_and_its_record_follows(pair):
    h1, h2 = pair
    config = make_guest(
        "ostler.heartbeat=vda",
        disks=(make_disk(h1.lab),),
        nics=(make_nic(1),),
        cpu=CpuConfig("maximum", 1, 1, 1, 2),
        vnc=VncConfig(),
    )
    start(h1, config)
    before = h1.wait_for_report(config.uuid)
    h1.order(move(config, h2, 2))
    after = h2.wait_for_report(config.uuid, after_ms=before.uptime_ms)

    assert after.boot == before.boot
    assert (after.heartbeat.intruder, after.heartbeat.errors) == (False, 0)
    assert h1.guest(config.uuid) is None
    found = h2.guest(config.uuid)
    assert (found.state, found.managed, found.persistent) == ("running", True, False)
    chosen = found.config.nics[0].pci
    assert found.config == replace(config, run=2, nics=(replace(config.nics[0], pci=chosen),))
    assert runners(h1, config) == [h2.host.uuid]
    assert h1.host.exits.pending() == ()


def test_a_guest_moves_there_and_back(pair):
    h1, h2 = pair
    config = make_guest()
    start(h1, config)
    before = h1.wait_for_report(config.uuid)
    h1.order(move(config, h2, 2))
    h2.order(move(config, h1, 3))

    assert h1.wait_for_report(config.uuid, after_ms=before.uptime_ms).boot == before.boot
    assert runners(h1, config) == [h1.host.uuid]


@pytest.mark.parametrize("fields", [{"firmware": "uefi", "kernel": None}, {"tpm": True}], ids=["uefi", "tpm"])
def test_guests_with_state_of_their_own_move(pair, fields):
    h1, h2 = pair
    config = make_guest(disks=(make_disk(h1.lab),), **fields)
    start(h1, config)
    h1.order(move(config, h2, 2))

    assert h2.guest(config.uuid).state == "running"


def test_a_paused_guest_moves_and_stays_paused(pair):
    h1, h2 = pair
    config = make_guest()
    start(h1, config)
    h1.wait_for_report(config.uuid)
    h1.order(PauseVm(config.uuid))
    h1.order(move(config, h2, 2))

    guest = h2.guest(config.uuid)
    assert (guest.state, guest.pause_reason) == ("paused", "user")


def busy_guest() -> GuestConfig:
    return make_guest("ostler.dirty=64", memory=MemoryConfig(256 * MIB, 256 * MIB, 0))


def test_a_guest_that_does_not_converge_stays_and_the_record_names_only_its_host(pair, monkeypatch):
    """As with KVM, where guests go on while they move. It never arrives, so no write of its can be lost."""
    monkeypatch.setattr("nodeagent.operations.vm_migrate.loses_writes", lambda _host, _vm: False)
    h1, h2 = pair
    config = busy_guest()
    start(h1, config)
    before = h1.wait_for_report(config.uuid)
    with pytest.raises(OperationError, match="stayed on this host: it made no progress for 4 s") as caught:
        h1.order(move(config, h2, 2, bandwidth_mib_per_s=3, downtime_ms=1, stall_ms=4_000))

    assert caught.value.settled
    guest = h1.guest(config.uuid)
    assert (guest.state, guest.config.run, guest.migration) == ("running", 2, None)
    assert runners(h1, config) == [h1.host.uuid]
    assert wait_until(lambda: h2.guest(config.uuid) is None)
    assert h1.wait_for_report(config.uuid, after_ms=before.uptime_ms).boot == before.boot


def test_a_migration_is_shown_while_it_runs_and_ends_when_it_is_cancelled(pair):
    h1, h2 = pair
    config = busy_guest()
    start(h1, config)
    h1.wait_for_report(config.uuid)
    wanted = move(config, h2, 2, bandwidth_mib_per_s=4, downtime_ms=1)

    control = TestControl()
    outcome: list[OperationError] = []

    def carry() -> None:
        try:
            OPERATIONS["migrate-vm"].run(h1.host, wanted, control)
        except OperationError as error:
            outcome.append(error)

    thread = threading.Thread(target=carry)
    thread.start()
    assert wait_until(
        lambda: (guest := h1.guest(config.uuid)) and guest.migration and guest.migration.total_bytes
    )
    guest = h1.guest(config.uuid)
    assert guest.migration.destination == h2.host.uuid
    assert h2.guest(config.uuid).state == "incoming"
    assert sorted(runners(h1, config)) == sorted([h1.host.uuid, h2.host.uuid])
    assert control.reports[-1].total_bytes > 0
    control.stop = True
    thread.join(60)

    assert "cancelled" in outcome[0].summary
    assert h1.guest(config.uuid).state == "running"
    assert runners(h1, config) == [h1.host.uuid]


def test_an_unreachable_destination_leaves_the_guest_where_it_is(pair):
    h1, h2 = pair
    config = make_guest()
    start(h1, config)
    wanted = replace(move(config, h2, 2), destination_address=h1.host.address.rsplit(".", 1)[0] + ".99")
    with pytest.raises(OperationError, match="stayed on this host"):
        h1.order(wanted)

    assert h1.guest(config.uuid).config.run == 2
    assert runners(h1, config) == [h1.host.uuid]
    h1.order(move(config, h2, 3))
    assert runners(h1, config) == [h2.host.uuid]


def test_a_migration_goes_on_without_the_agent_and_is_taken_up_again(pair, tmp_path):
    """The agent's death is the loss of its connections: the call's lane is left behind, and another agent looks."""
    h1, h2 = pair
    config = make_guest(memory=MemoryConfig(192 * MIB, 192 * MIB, 0))
    start(h1, config)
    before = h1.wait_for_report(config.uuid)
    wanted = move(config, h2, 2, bandwidth_mib_per_s=12)
    script = tmp_path / "agent.py"
    script.write_text(AGENT.format(root=h1.host.hypervisor._lanes._uri, wanted=wanted))

    records = h1.host.storage.place(MASTER)

    claim_run(
        records,
        None,
        config.uuid,
        2,
        (RunHost(h1.host.uuid, h1.host.boot_id), RunHost(h2.host.uuid, h2.host.boot_id)),
        "apply/step",
    )
    agent = subprocess.Popen([sys.executable, str(script)], cwd=".")
    assert wait_until(lambda: h1.host.hypervisor.job_progress(config.uuid).operation == "migration-out")
    agent.kill()
    agent.wait()
    assert h1.host.hypervisor.job_progress(config.uuid).operation == "migration-out"

    assert h1.recover(wanted) is True
    assert runners(h1, config) == [h2.host.uuid]
    assert h2.wait_for_report(config.uuid, after_ms=before.uptime_ms).boot == before.boot


AGENT = """
from types import SimpleNamespace
from nodeagent.drivers.libvirt import Hypervisor
from nodeagent.operations.vm_migrating import request_for
from nodeagent.wire.arguments import MigrateVm
wanted = {wanted!r}
hypervisor = Hypervisor({root!r})
call = hypervisor.begin_migration(wanted.vm, request_for(SimpleNamespace(hypervisor=hypervisor), wanted))
call.wait(600_000)
"""


@pytest.mark.parametrize("victim", ["h1", "h2"])
def test_the_loss_of_a_libvirtd_in_the_middle_leaves_one_guest_and_a_true_record(pair, victim):
    h1, h2 = pair
    config = busy_guest()
    start(h1, config)
    h1.wait_for_report(config.uuid)
    wanted = move(config, h2, 2, bandwidth_mib_per_s=4, downtime_ms=1)
    errors: list[OperationError] = []

    def carry() -> None:
        try:
            h1.order(wanted)
        except OperationError as error:
            errors.append(error)

    thread = threading.Thread(target=carry)
    thread.start()
    assert wait_until(lambda: h1.host.hypervisor.job_progress(config.uuid).remaining_bytes > 0)
    restart_libvirtd(h1.lab, victim)
    thread.join(120)
    assert not thread.is_alive()

    assert wait_until(lambda: h1.guests.collect().complete and h2.guests.collect().complete)
    living = [host for host in pair if (guest := host.guest(config.uuid)) and guest.state == "running"]
    assert len(living) == 1
    assert living[0].host.uuid in runners(h1, config)
    assert errors


def test_a_guest_that_moved_is_stopped_on_its_new_host(pair):
    h1, h2 = pair
    config = make_guest()
    start(h1, config)
    h1.order(move(config, h2, 2))
    h2.order(StopVm(MASTER, config.uuid, 2, "destroy", 0, "stopped"))

    assert h1.record(config.uuid).run.closed == "stopped"
    assert (h1.guest(config.uuid), h2.guest(config.uuid)) == (None, None)
