"""What a guest is given while it runs or at a restart, and what of that its record keeps."""

from dataclasses import replace

import pytest

from nodeagent.errors import DriverError
from nodeagent.operations.contract import OperationError
from nodeagent.wire.arguments import AttachDisk, AttachNic, DetachDisk, DetachNic, RebootVm, StartVm, StopVm
from tests.unit.nodeagent.guest.samples import MASTER, VM, disk, guest, nic

CONFIG = guest(nics=(nic(1),), disks=(disk(1),))


@pytest.fixture
def running(bench):
    for number in (1, 2):
        image = bench.host.storage.place(MASTER) / "images" / disk(number).image
        image.mkdir(parents=True)
        (image / disk(number).volume).touch()
    bench.define(CONFIG)
    bench.run(StartVm(MASTER, CONFIG))
    return bench


def test_the_address_of_a_plugged_card_is_kept_in_the_record(running):
    attach = AttachNic(MASTER, VM, nic(2))
    before = running.record(VM).revision

    assert running.run(attach) == {"pci": {"nic2": "0000:02:00.0"}}
    assert running.verify(attach) is None
    record = running.record(VM)
    assert record.pci == {"nic1": "0000:01:00.0", "nic2": "0000:02:00.0"}
    assert record.revision == before + 1

    assert running.check(attach) is None
    assert running.run(attach) == {"pci": {"nic2": "0000:02:00.0"}}
    assert running.record(VM) == record, "nothing to write"


def test_no_card_is_plugged_whose_address_could_not_be_kept(running):
    running.host.storage.disconnect(MASTER)

    with pytest.raises(OperationError, match="not connected"):
        running.run(AttachNic(MASTER, VM, nic(2)))
    assert "attach_device" not in running.hypervisor.calls


def test_plugging_and_unplugging_changes_nothing_else_in_the_record(running):
    before = running.record(VM)

    running.run(AttachDisk(VM, disk(2)))
    running.run(DetachDisk(VM, disk(2)))
    running.run(DetachNic(VM, nic(1)))
    assert running.record(VM) == before, "the disks of the record are the plan's, before and after"


def test_a_disk_that_the_guest_did_not_let_go_of_stays_its_disk(running):
    running.run(AttachDisk(VM, disk(2)))
    running.hypervisor.domains[VM].deaf = True

    with pytest.raises(OperationError, match="did not let go"):
        running.run(DetachDisk(VM, disk(2)), limit_ms=50)
    assert running.verify(DetachDisk(VM, disk(2))) is not None
    assert running.recover(DetachDisk(VM, disk(2))) is False


def test_a_restart_leaves_exactly_the_disks_of_the_new_guest_in_the_record(running):
    running.run(RebootVm(MASTER, replace(CONFIG, run=2, disks=(disk(2),)), 1000))

    assert running.record(VM).disks == ("disk/d2",)


def test_a_stop_leaves_the_disks_in_the_record_that_the_order_names(running):
    running.run(StopVm(MASTER, VM, 1, "shutdown", 1000, "stopped", disks=("disk/d2",)))

    record = running.record(VM)
    assert (record.disks, record.run.closed) == (("disk/d2",), "stopped")


def test_a_guest_that_does_not_stop_keeps_its_disks_in_the_record(running):
    running.hypervisor.domains[VM].deaf = True

    with pytest.raises(OperationError, match="did not shut down"):
        running.run(StopVm(MASTER, VM, 1, "shutdown", 50, "stopped", disks=()))
    assert running.record(VM).disks == ("disk/d1",)


def test_a_restart_that_failed_leaves_the_disks_in_the_record(running):
    before = running.record(VM).disks
    running.hypervisor.fail["create"] = DriverError("cannot start")

    with pytest.raises(OperationError):
        running.run(RebootVm(MASTER, replace(CONFIG, run=2, disks=(disk(2),)), 1000))
    assert running.record(VM).disks == before
