"""A running guest against the declared one: which fields differ, in which order, with which effect."""

from dataclasses import replace

import pytest

from nodeagent.wire.guest import (
    CdromConfig,
    CpuConfig,
    DiskConfig,
    GuestConfig,
    MemoryConfig,
    NicConfig,
    VncConfig,
)
from reconciler.diffing.compare import compare_guest, same_guest
from reconciler.model.change import Effect, FieldChange

MIB = 2**20
UUID = "1b4d6f1e-d173-5f95-a154-93d15c00067a"


def nic(name: str, **fields) -> NicConfig:
    return replace(NicConfig(name, "net/vms", "vms", "52:54:00:00:00:01", "virtio"), **fields)


def disk(name: str, bus: str = "virtio") -> DiskConfig:
    return DiskConfig(name, UUID, f"image of {name}", UUID, "qcow2", bus)


GUEST = GuestConfig(
    UUID,
    "vm/web-1",
    UUID,
    "web-1",
    1,
    "pc-q35-7.2",
    CpuConfig("Nehalem", 1, 1, 1, 4),
    MemoryConfig(512 * MIB, 1024 * MIB, 512 * MIB),
    disks=(disk("disk/a"),),
    nics=(nic("eth0"),),
    cdrom=CdromConfig(),
    vnc=VncConfig(),
)


def differences(**fields) -> dict[str, Effect]:
    return {one.field: one.effect for one in compare_guest(replace(GUEST, **fields), GUEST)}


def test_what_nobody_declares_is_no_difference():
    have = replace(GUEST, run=7, nics=(nic("eth0", pci="0000:01:00.0"),))

    assert same_guest(GUEST, have)
    assert compare_guest(GUEST, have) == ()


@pytest.mark.parametrize(
    ("memory", "effect"),
    [(256, Effect.LIVE), (1024, Effect.LIVE), (1025, Effect.NEXT_START)],
)
def test_the_balloon_reaches_the_maximum_of_the_start_and_no_further(memory, effect):
    assert differences(memory=replace(GUEST.memory, current_bytes=memory * MIB)) == {"vm.memory": effect}


def test_without_a_balloon_memory_waits():
    have = replace(GUEST, balloon=False)
    want = replace(have, memory=replace(GUEST.memory, current_bytes=256 * MIB))

    assert [one.effect for one in compare_guest(want, have)] == [Effect.NEXT_START]


@pytest.mark.parametrize(("sockets", "effect"), [(2, Effect.LIVE), (4, Effect.LIVE), (5, Effect.NEXT_START)])
def test_sockets_are_plugged_up_to_the_maximum(sockets, effect):
    assert differences(cpu=replace(GUEST.cpu, sockets=sockets))["vm.cpu.sockets"] is effect


def test_sockets_are_never_unplugged():
    have = replace(GUEST, cpu=replace(GUEST.cpu, sockets=3))

    assert [one.effect for one in compare_guest(GUEST, have)] == [Effect.NEXT_START]


@pytest.mark.parametrize(
    ("bus", "effect"),
    [
        ("virtio", Effect.LIVE),
        ("scsi", Effect.LIVE),
        ("sata", Effect.NEXT_START),
        ("ide", Effect.NEXT_START),
    ],
)
def test_disks_come_and_go_live_on_the_buses_that_can(bus, effect):
    more = replace(GUEST, disks=(*GUEST.disks, disk("disk/b", bus)))

    assert compare_guest(more, GUEST) == (FieldChange("vm.disks", None, "disk/b", effect),)
    assert compare_guest(GUEST, more) == (FieldChange("vm.disks", "disk/b", None, effect),)


def test_removed_cards_come_in_the_order_of_their_names():
    names = ["eth3", "eth1", "eth2", "eth5", "eth4"]
    have = replace(GUEST, nics=(*GUEST.nics, *(nic(name) for name in names)))

    assert [one.before for one in compare_guest(GUEST, have)] == sorted(names)


def test_a_card_is_where_its_bridge_is():
    assert differences(nics=(nic("eth0", network="net/other"),)) == {}
    assert differences(nics=(nic("eth0", bridge="other"),)) == {"vm.nics[eth0].network": Effect.LIVE}


def test_the_same_file_on_another_domain_is_another_cd():
    have = replace(GUEST, cdrom=CdromConfig("one", "a.iso"))
    want = replace(GUEST, cdrom=CdromConfig("two", "a.iso"))

    (change,) = compare_guest(want, have)

    assert (change.field, change.before, change.after) == ("vm.cdrom.file", "one/a.iso", "two/a.iso")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (FieldChange("vm.memory", 512 * MIB, 2**30, Effect.LIVE), "vm.memory 512Mi → 1Gi"),
        (FieldChange("vm.description", "", "web", Effect.NEXT_START), 'vm.description "" → web'),
        (FieldChange("vm.serial", True, False, Effect.NEXT_START), "vm.serial true → false"),
        (FieldChange("vm.disks", "disk/a", None, Effect.LIVE), "vm.disks disk/a → none"),
        (FieldChange("vm.boot", None, ("/k", None, "ro"), Effect.NEXT_START), "vm.boot none → /k ro"),
    ],
)
def test_changes_read_as_people_write_values(change, text):
    assert str(change) == text
