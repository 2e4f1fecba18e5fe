"""Whatever ends a migration, the record names exactly the hosts on which the guest can be."""

from dataclasses import replace

import pytest

from nodeagent.drivers.libvirt_errors import HypervisorUnreachableError
from nodeagent.drivers.libvirt_values import JobProgress
from nodeagent.errors import DriverError
from nodeagent.formats.vmrecords import claim_run
from nodeagent.operations.contract import OperationError
from nodeagent.wire.arguments import MigrateVm, StartVm
from nodeagent.wire.records import RunHost
from tests.unit.nodeagent.guest.conftest import BOOT, HOST
from tests.unit.nodeagent.guest.samples import MASTER, VM, disk, guest, nic

THERE = RunHost("aaaaaaaa-0000-4000-8000-000000000002", "bbbbbbbb-0000-4000-8000-000000000002")
HERE = RunHost(HOST, BOOT)
MOVE = MigrateVm(MASTER, VM, 2, THERE.uuid, THERE.boot_id, "192.0.2.2", 100, 300, 60_000, 0)
MOVING = JobProgress("running", "migration-out", remaining_bytes=5, total_bytes=9, iteration=1)


@pytest.fixture
def running(bench, monkeypatch):
    monkeypatch.setattr("nodeagent.operations.vm_migrating.LOOK_MS", 20)
    config = guest(nics=(nic(1),))
    bench.define(config)
    bench.run(StartVm(MASTER, config))
    return bench


def end(bench, error=None, change=lambda domain: None):
    """Let the migration be over as soon as it has begun."""

    def begun(domain):
        change(domain)
        bench.hypervisor.migration.error = error
        bench.hypervisor.migration.over.set()

    bench.hypervisor.on_migrate = begun


def leave(bench):
    def change(_domain):
        del bench.hypervisor.domains[VM]
        bench.hypervisor.tell("stopped", VM, "migrated")

    return change


def pause(domain):
    domain.state, domain.pause_reason = "paused", "migration"


def hosts(bench):
    run = bench.record(VM).run
    assert (run.number, run.closed) == (2, None)
    return run.hosts


def test_a_guest_that_left_is_recorded_there_alone(running):
    end(running, change=leave(running))

    assert running.run(MOVE) == {"destination": THERE.uuid}
    assert hosts(running) == (THERE,)
    assert running.hypervisor.migrations == {}
    assert running.verify(MOVE) is None


def test_a_guest_that_libvirt_kept_is_recorded_here_alone_and_lives_the_new_run(running):
    end(running, error=DriverError("cannot migrate: no route to host", "see the network"))
    with pytest.raises(OperationError, match="stayed on this host: cannot migrate: no route") as caught:
        running.run(MOVE)

    assert caught.value.settled
    assert hosts(running) == (HERE,)
    assert '"run":2' in running.hypervisor.domains[VM].xml


def test_a_guest_that_stands_still_between_two_hosts_is_recorded_on_both(running):
    end(running, error=DriverError("cannot migrate: the link broke at the end"), change=pause)
    with pytest.raises(OperationError, match="not clear") as caught:
        running.run(MOVE)

    assert not caught.value.settled
    assert hosts(running) == (HERE, THERE)


def test_a_guest_that_died_on_the_way_is_recorded_on_both(running):
    def die(_domain):
        del running.hypervisor.domains[VM]
        running.hypervisor.tell("stopped", VM, "failed")

    end(running, error=DriverError("cannot migrate: monitor closed"), change=die)
    with pytest.raises(OperationError, match="not clear"):
        running.run(MOVE)

    assert hosts(running) == (HERE, THERE)


def test_a_migration_that_outlives_the_link_to_libvirtd_is_followed_to_its_end(running):
    looks = [MOVING, MOVING, MOVING]

    def progress(_vm):
        if looks:
            return looks.pop()
        if VM in running.hypervisor.domains:
            leave(running)(None)
        return JobProgress("none")

    running.hypervisor.job_progress = progress
    end(running, error=HypervisorUnreachableError("client socket is closed", settled=False))

    assert running.run(MOVE, limit_ms=5000) == {"destination": THERE.uuid}
    assert hosts(running) == (THERE,)


def test_a_migration_whose_time_is_over_is_aborted(running):
    running.hypervisor.on_migrate = lambda domain: setattr(domain, "job", MOVING)
    with pytest.raises(OperationError, match="time is over"):
        running.run(MOVE, limit_ms=200)

    assert "abort_job" in running.hypervisor.calls
    assert hosts(running) == (HERE,)


def test_nothing_is_claimed_while_too_many_others_leave(running):
    for _ in range(2):
        running.hypervisor.outgoing.acquire()
    with pytest.raises(OperationError, match="waited for other migrations"):
        running.run(MOVE, limit_ms=100)

    assert running.record(VM).run.number == 1


@pytest.mark.parametrize(
    ("leaves", "found", "named"), [(True, True, (THERE,)), (False, False, (HERE,))], ids=["left", "stayed"]
)
def test_an_agent_that_comes_back_finds_out_where_the_guest_is(running, leaves, found, named):
    claim_run(running.host.storage.place(MASTER), None, VM, 2, (HERE, THERE), "apply/step")
    if leaves:
        leave(running)(None)

    assert running.recover(MOVE) is found
    assert hosts(running) == named


def test_an_agent_that_comes_back_before_the_claim_finds_nothing_done(running):
    assert running.recover(MOVE) is False
    assert running.record(VM).run.number == 1


@pytest.mark.parametrize("address", ["", "h2/system?command=x", "h2 ", "-h2"])
def test_an_address_that_is_none_is_refused(running, address):
    assert "no address" in running.check(replace(MOVE, destination_address=address))


def test_a_guest_with_a_disk_that_lies_on_this_host_alone_is_not_moved(bench):
    config = guest(disks=(disk(1),))
    image = bench.host.storage.place(MASTER) / "images" / config.disks[0].image
    image.mkdir(parents=True)
    (image / config.disks[0].volume).touch()
    bench.define(config)
    bench.run(StartVm(MASTER, config))

    assert "lies on this host alone" in bench.check(MOVE)


def test_a_guest_without_files_of_its_host_may_move(running):
    assert running.check(MOVE) is None
