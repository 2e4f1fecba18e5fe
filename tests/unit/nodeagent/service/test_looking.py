"""What admission sees of a host: documents collected on demand, records from a real directory."""

from dataclasses import replace

import pytest
from enginebench import BOOT, HOST, VM

from nodeagent.admission import LookError
from nodeagent.errors import DriverError
from nodeagent.facts.publishing import Generations, Publisher
from nodeagent.formats.diskrecords import write_disk_record
from nodeagent.formats.vmrecords import write_vm_record
from nodeagent.ledger import Ledger
from nodeagent.looking import Sights
from nodeagent.wire.arguments import PauseVm, PurgeDisk, RecordExit, WriteDiskRecord
from nodeagent.wire.facts import (
    GuestFacts,
    HostCapabilities,
    HostState,
    LeaseFacts,
    NetworkFacts,
    StorageDomainFacts,
)
from nodeagent.wire.records import DiskRecord, VmRecord

MASTER = "aaaaaaaa-0000-4000-8000-000000000001"
SECOND = "aaaaaaaa-0000-4000-8000-000000000002"
DISK = "33333333-0000-4000-8000-000000000003"
OTHER = "22222222-0000-4000-8000-000000000002"


class Scene:
    def __init__(self, directory):
        ledger = Ledger(directory, BOOT)
        self.directory = directory
        self.directories = {MASTER: directory, SECOND: directory / "second"}
        self.collections = 0
        self.error = None
        self.connected = {MASTER, SECOND}
        self.state = HostState(
            HOST,
            BOOT,
            OTHER,
            "1",
            0,
            0,
            0,
            ledger.id,
            LeaseFacts(0),
            HostCapabilities(1 << 30, 1, 1, 1, False),
            guests=(GuestFacts(VM, "web-1", "running", True),),
            networks=(NetworkFacts("lan0", "net/lan", "eth1", 1500, True),),
            storage=(
                StorageDomainFacts(MASTER, "active", True, 5),
                StorageDomainFacts(SECOND, "active", False, 5),
            ),
        )
        self.publisher = Publisher(self.collect, Generations(ledger))
        self.publisher.start()
        self.sights = Sights(self.publisher, self.place, self.is_gone)

    def collect(self):
        self.collections += 1
        if self.error is not None:
            raise self.error
        return self.state

    def place(self, uuid):
        if uuid not in self.connected:
            raise DriverError(f"{uuid} is not connected")
        return self.directories[uuid]

    def is_gone(self, vm):
        if not self.state.guests_complete:
            raise DriverError("libvirt does not answer")
        return vm not in {guest.uuid for guest in self.state.guests} | set(self.state.processes)

    def look(self, arguments=None):
        return self.sights.look(arguments or PauseVm(VM))


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.publisher.stop()


def test_subjects_of_the_state_document_are_found_by_their_names(scene):
    look = scene.look()

    assert look(f"guest/{VM}")["state"] == "running"
    assert look(f"guest/{OTHER}") is None
    assert look("network/lan0")["mtu"] == 1500
    assert look("network/lan1") is None
    assert look(f"storage/{MASTER}")["state"] == "active"
    assert look("host")["maintenance"] is False


def test_each_order_has_the_facts_collected_anew_and_once(scene):
    assert scene.look()("host")["maintenance"] is False
    scene.state = replace(scene.state, maintenance=True)
    look = scene.look()
    before = scene.collections

    assert look("host")["maintenance"] is True
    assert look(f"guest/{VM}")["title"] == "web-1"
    assert scene.collections == before + 1


def test_that_a_guest_is_not_here_is_known_without_collecting_everything(scene):
    before = scene.collections
    look = scene.look()

    assert look(f"guest/{OTHER}") is None
    assert look(f"absence/{OTHER}")["absent"] is True
    assert scene.collections == before


def test_a_record_is_read_from_the_master_that_the_order_names_or_the_one_connected(scene):
    record = VmRecord(VM, "vm/web-1", HOST, 1, 1, "pc-q35-7.2", "qemu64")
    (scene.directory / "master" / "vms").mkdir(parents=True)
    write_vm_record(scene.directory, None, record)

    assert scene.look()(f"record/{VM}")["revision"] == 1
    assert scene.look(RecordExit(MASTER, VM, 1, "shutdown"))(f"record/{VM}")["object"] == "vm/web-1"
    assert scene.look()(f"record/{OTHER}") is None


@pytest.fixture
def disk(scene):
    """A record on the second domain, as a disk there has it."""
    for directory in scene.directories.values():
        (directory / "master" / "disks").mkdir(parents=True)
    record = DiskRecord(DISK, VM, "disk/log", HOST, SECOND, 1, 1)
    write_disk_record(scene.directories[SECOND], record)
    return record


def test_a_disks_record_is_read_from_the_disks_own_domain(scene, disk):
    for order in (PauseVm(VM), WriteDiskRecord(disk), PurgeDisk(SECOND, DISK, 0)):
        assert scene.look(order)(f"disk/{DISK}")["object"] == "disk/log"
    assert scene.look(PurgeDisk(MASTER, DISK, 0))(f"disk/{DISK}") is None
    assert scene.look()(f"disk/{OTHER}") is None


def test_a_disk_is_not_missing_while_one_domain_cannot_be_read(scene, disk):
    scene.connected.remove(MASTER)
    assert scene.look()(f"disk/{DISK}")["object"] == "disk/log", "found where it could be read"
    with pytest.raises(LookError, match="not connected"):
        scene.look()(f"disk/{OTHER}")

    scene.state = replace(scene.state, storage=())
    with pytest.raises(LookError, match="no storage domain"):
        scene.look()(f"disk/{DISK}")


@pytest.mark.parametrize(
    "subject",
    ["planet/mars", "hosts", "host/", "guest", "record/../../etc/passwd", "record/", "disk/x", ""],
)
def test_subjects_of_no_known_kind_are_not_guessed_at(scene, subject):
    with pytest.raises(LookError):
        scene.look()(subject)


def test_a_record_that_cannot_be_read_is_not_missing(scene):
    scene.connected.clear()
    with pytest.raises(LookError, match="not connected"):
        scene.look()(f"record/{VM}")

    scene.state = replace(scene.state, storage=())
    with pytest.raises(LookError, match="no master"):
        scene.look()(f"record/{VM}")


def test_facts_that_cannot_be_collected_answer_nothing(scene):
    scene.look()("host")
    scene.error = DriverError("netlink is silent")

    with pytest.raises(LookError):
        scene.look()("host")


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"guests": ()}, True),
        ({}, False),
        ({"guests": (), "processes": (VM,)}, False),
        ({"guests": (), "guests_complete": False}, False),
        ({"guests": (GuestFacts(VM, "web-1", "incoming", True),)}, False),
    ],
)
def test_a_guest_is_absent_only_if_libvirt_and_the_processes_say_so(scene, changes, absent):
    scene.state = replace(scene.state, **changes)

    assert scene.look()(f"absence/{VM}")["absent"] is absent


def test_nobody_can_tell_whether_a_guest_runs_where_libvirt_did_not_answer(scene):
    scene.state = replace(scene.state, guests=(), guests_complete=False)

    with pytest.raises(LookError):
        scene.look()(f"guest/{VM}")
