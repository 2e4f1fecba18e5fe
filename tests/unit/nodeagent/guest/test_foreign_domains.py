"""Domains that somebody else made are understood as far as possible, and what is not is named."""

from nodeagent.guestxml.reading import NO_DATA_CENTER, read_guest
from nodeagent.wire.guest import CdromConfig, CpuConfig, VncConfig

FOREIGN = """
<domain type='kvm' id='3'>
  <name>Old Mail_Server</name>
  <uuid>AB1C1C9E-65A4-4C1C-9B7C-0D2A54C1B6A1</uuid>
  <memory unit='MiB'>1024</memory>
  <currentMemory unit='KiB'>524288</currentMemory>
  <vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='pc-i440fx-6.2'>hvm</type><boot dev='hd'/></os>
  <cpu mode='custom' match='exact' check='full'><model fallback='forbid'>Penryn</model>
    <feature policy='disable' name='svm'/></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
      <source file='/rhev/data-center/mnt/nas:_x/7d9c2c5e-93a1-4f7b-8f5f-6f1f0c3f2b10/images/c0a8f0de-0001-4000-8000-000000000001/c0a8f0de-0002-4000-8000-000000000001'/>
      <target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='disk'><source file='/var/lib/libvirt/images/a.qcow2'/><target dev='vdb' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>
    <interface type='network'><mac address='52:54:00:AA:BB:01'/><source network='default' bridge='virbr0'/>
      <model type='virtio'/><address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/></interface>
    <interface type='user'><mac address='52:54:00:aa:bb:02'/></interface>
    <graphics type='vnc' port='5903' autoport='yes'/>
    <hostdev mode='subsystem' type='usb'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""


def test_what_a_manifest_can_express_is_read():
    reading = read_guest(FOREIGN, {"virbr0": "net/lan"})
    config = reading.config

    assert not reading.managed
    assert (config.uuid, config.object, config.title) == (
        "ab1c1c9e-65a4-4c1c-9b7c-0d2a54c1b6a1",
        "vm/old-mail-server",
        "Old Mail_Server",
    )
    assert (config.data_center, config.run, config.machine) == (NO_DATA_CENTER, 0, "pc-i440fx-6.2")
    assert config.cpu == CpuConfig("Penryn", 2, 1, 1, 2)
    assert (config.memory.maximum_bytes, config.memory.current_bytes) == (2**30, 2**29)
    assert [(disk.image, disk.boot_order) for disk in config.disks] == [
        ("c0a8f0de-0001-4000-8000-000000000001", 1)
    ]
    assert config.cdrom == CdromConfig()
    assert [(nic.network, nic.mac, nic.pci) for nic in config.nics] == [
        ("net/lan", "52:54:00:aa:bb:01", "0000:00:03.0")
    ]
    assert (config.vnc, reading.vnc_port, config.balloon, config.serial) == (VncConfig(), 5903, False, False)


def test_what_a_manifest_cannot_express_is_named():
    gaps = "\n".join(read_guest(FOREIGN).gaps)

    assert "vdb: `/var/lib/libvirt/images/a.qcow2` lies in no storage domain" in gaps
    assert "network card 2: type user" in gaps
    assert "device hostdev" in gaps


def test_a_domain_that_no_manifest_could_describe_is_reported_without_configuration():
    reading = read_guest(FOREIGN.replace("pc-i440fx-6.2", "not a machine"))

    assert reading.config is None
    assert "not expressible" in "\n".join(reading.gaps)
    assert reading.macs == ("52:54:00:aa:bb:01", "52:54:00:aa:bb:02")


def test_numbers_that_are_none_do_not_stop_the_others_being_reported():
    reading = read_guest(FOREIGN.replace("slot='0x03'", "slot='zero'"))

    assert reading.config is None
    assert reading.uuid == "ab1c1c9e-65a4-4c1c-9b7c-0d2a54c1b6a1"


def test_somebody_elses_metadata_and_a_broken_one_of_ours_leave_a_domain_foreign():
    broken = "<metadata><o:domain xmlns:o='https://ostler.dev/domain/1'><o:config>{}</o:config></o:domain></metadata>"
    other = "<metadata><x:vm xmlns:x='http://ovirt.org/vm/1.0'/></metadata>"

    for metadata in (broken, other):
        assert not read_guest(FOREIGN.replace("<memory ", metadata + "<memory ", 1)).managed
