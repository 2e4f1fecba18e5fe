"""Guests on real libvirt: started, seen as ordered, changed while they run, stopped, and their ends remembered."""

import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from nodeagent.drivers.kvmprobe import runs_guest_code
from nodeagent.formats.keptstate import list_shelf, tpm_shelf
from nodeagent.formats.vmrecords import claim_run, write_vm_record
from nodeagent.operations import record_remove, vm_purge
from nodeagent.operations.contract import OperationError
from nodeagent.wire.arguments import (
    AttachDisk,
    AttachNic,
    ChangeCdrom,
    DetachDisk,
    DetachNic,
    PauseVm,
    PurgeVm,
    RebootVm,
    RemoveVm,
    ResumeVm,
    SetVmCpus,
    SetVmMemory,
    SetVncPassword,
    StartVm,
    StopVm,
    UpdateNic,
)
from nodeagent.wire.guest import CdromConfig, CpuConfig, GuestConfig, MemoryConfig, VncConfig
from nodeagent.wire.records import RunHost
from reconciler.lab.inside import run_in
from tests.lab.guest_hosts import (
    MASTER,
    MIB,
    GuestHost,
    TestControl,
    define,
    make_disk,
    make_guest,
    make_nic,
    open_host,
    restart_libvirtd,
    start,
    wait_until,
)


@pytest.fixture(scope="module")
def h1(bare_lab, tmp_path_factory) -> Iterator[GuestHost]:
    host = open_host(bare_lab, "h1", tmp_path_factory.mktemp("h1") / "state")
    yield host
    for row in host.host.hypervisor.list_guests():
        host.host.hypervisor.destroy(row.uuid)
    host.host.hypervisor.close()
    host.host.storage.close()


@pytest.fixture(autouse=True)
def clean(h1: GuestHost) -> Iterator[None]:
    yield
    for row in h1.host.hypervisor.list_guests():
        if row.running:
            h1.host.hypervisor.destroy(row.uuid)
        if row.persistent:
            h1.host.hypervisor.undefine(row.uuid)
    h1.guests.collect()
    for exit_ in h1.host.exits.pending():
        h1.host.exits.forget(exit_.vm, exit_.run)


def stop(config: GuestConfig, mode: str = "destroy", **fields) -> StopVm:
    return StopVm(MASTER, config.uuid, config.run, mode, 30_000, "stopped", **fields)


def addressed(config: GuestConfig, found: GuestConfig) -> GuestConfig:
    """The configuration with the addresses that libvirt chose."""
    chosen = {nic.mac: nic.pci for nic in found.nics}
    return replace(config, nics=tuple(replace(nic, pci=nic.pci or chosen[nic.mac]) for nic in config.nics))


def full_guest(lab, **fields) -> GuestConfig:
    whole = {
        "cpu": CpuConfig("qemu64", 1, 1, 1, 2),
        "memory": MemoryConfig(192 * MIB, 256 * MIB, 128 * MIB),
        "disks": (make_disk(lab, 1, boot_order=1), make_disk(lab, 2, bus="scsi", read_only=True)),
        "cdrom": CdromConfig(),
        "nics": (make_nic(1), make_nic(2, model="e1000", link="down", bridge="br1", network="net/dmz")),
        "vnc": VncConfig("consoles/x"),
        "description": "Two\nlines & <more>",
    }
    return make_guest(**(whole | fields))


def test_a_started_guest_is_seen_exactly_as_it_was_ordered(h1):
    config = full_guest(h1.lab)
    outputs = start(h1, config)
    guest = h1.guest(config.uuid)

    assert guest.config == addressed(config, guest.config)
    assert (guest.state, guest.managed, guest.persistent, guest.gaps) == ("running", True, False, ())
    assert guest.vnc_port == outputs["vnc_port"]
    assert dict(guest.disk_capacities) == {disk.image: 64 * MIB for disk in config.disks}
    assert outputs["pci"] == {nic.name: nic.pci for nic in guest.config.nics}
    assert h1.record(config.uuid).pci == outputs["pci"]
    assert h1.record(config.uuid).run.hosts[0].uuid == h1.host.uuid


@pytest.mark.parametrize(
    "fields",
    [
        {"machine": "pc-i440fx-7.2", "kernel": None},
        {"firmware": "uefi", "kernel": None},
        {"tpm": True},
        {"serial": False, "balloon": False, "rng": False, "memory": MemoryConfig(128 * MIB, 128 * MIB, 0)},
    ],
    ids=["old-pc", "uefi", "tpm", "bare"],
)
def test_guests_of_every_make_are_seen_as_ordered(h1, fields):
    config = make_guest(nics=(make_nic(1),), disks=(make_disk(h1.lab, boot_order=1),), **fields)
    start(h1, config)
    found = h1.guest(config.uuid).config

    assert found == addressed(config, found)


def test_what_a_vm_kept_besides_its_disks_goes_with_it(h1):
    config = make_guest(disks=(make_disk(h1.lab),), firmware="uefi", kernel=None, tpm=True)
    start(h1, config)
    h1.order(stop(config))
    variables = h1.host.storage.place(MASTER) / "master/firmware" / f"{config.uuid}.fd"
    state = h1.host.paths.tpm_state / config.uuid
    assert variables.exists(), "they outlive the run"
    assert any(state.iterdir()), "libvirt keeps it where it is looked for"

    record = h1.record(config.uuid)
    consented = replace(record, revision=record.revision + 1, allow_destroy=config.uuid)
    write_vm_record(h1.host.storage.place(MASTER), None, consented)
    remove = RemoveVm(MASTER, config.uuid)
    record_remove.OPERATION.run(h1.host, remove, TestControl())

    assert record_remove.OPERATION.verify(h1.host, remove) is None
    assert not variables.exists()
    assert not state.exists()
    assert variables.with_name(f"_remove_me_{variables.name}").exists()
    assert any(state.with_name(f"_remove_me_{state.name}").iterdir())
    assert config.uuid in list_shelf(tpm_shelf(h1.host.paths.tpm_state))[1], "facts tell of it"

    purge = PurgeVm(MASTER, config.uuid, 0)
    assert vm_purge.OPERATION.check(h1.host, purge) is None
    vm_purge.OPERATION.run(h1.host, purge, TestControl())

    assert not variables.with_name(f"_remove_me_{variables.name}").exists()
    assert not state.with_name(f"_remove_me_{state.name}").exists()
    assert h1.record(config.uuid).removed, "the tombstone stays"


def test_addresses_given_once_are_kept_at_the_next_start(h1):
    config = full_guest(h1.lab)
    start(h1, config)
    first = h1.guest(config.uuid).config
    h1.order(stop(config))
    again = replace(first, run=2, disks=first.disks[:1])
    start(h1, again)

    assert h1.guest(config.uuid).config == again


def test_the_guest_itself_sees_what_was_ordered(h1):
    config = full_guest(h1.lab)
    start(h1, config)
    report = h1.wait_for_report(config.uuid)

    assert report.cpus == 1
    assert "52:54:00:00:00:01" in report.nics
    assert report.disks["vda"] == (64 * MIB, False)
    assert report.rng


def test_a_guest_that_cannot_spare_its_memory_is_told_at_once_and_lives_on_with_what_it_had(h1):
    config = make_guest()
    start(h1, config)
    h1.wait_for_report(config.uuid)
    assert wait_until(lambda: h1.host.hypervisor.usable_memory(config.uuid) is not None)

    with pytest.raises(OperationError, match="can spare"):
        h1.order(SetVmMemory(config.uuid, 8 * MIB))

    assert h1.guest(config.uuid).memory_bytes == config.memory.current_bytes
    h1.wait_for_report(config.uuid)


def test_live_changes_reach_the_guest_and_are_seen(h1):
    config = full_guest(h1.lab)
    iso = h1.lab.shared / MASTER / "images" / "11111111-1111-1111-1111-111111111111" / "tools.iso"
    iso.write_bytes(bytes(64 * 2048))
    start(h1, config)
    h1.wait_for_report(config.uuid)
    living = h1.guest(config.uuid).config

    h1.order(SetVmMemory(config.uuid, 160 * MIB))
    h1.order(SetVmCpus(config.uuid, 2))
    changed = replace(living.nics[1], link="up", bridge="br0", network="net/lan")
    h1.order(UpdateNic(config.uuid, living.nics[1], changed))
    h1.order(ChangeCdrom(config.uuid, CdromConfig(MASTER, "tools.iso")))
    third = make_nic(3)
    h1.order(AttachNic(MASTER, config.uuid, third))
    new_disk = make_disk(h1.lab, 3)
    h1.order(AttachDisk(config.uuid, new_disk))
    found = h1.guest(config.uuid).config

    assert found.memory.current_bytes == 160 * MIB
    assert found.cpu.sockets == 2
    assert found.nics[1] == changed
    assert found.cdrom == CdromConfig(MASTER, "tools.iso")
    assert replace(found.nics[2], pci=None) == third
    assert h1.record(config.uuid).pci["nic3"] == found.nics[2].pci
    assert found.disks[2] == new_disk
    report = h1.wait_for_report(
        config.uuid, accept=lambda r: r.cpus == 2 and "52:54:00:00:00:03" in r.nics and "vdb" in r.disks
    )
    assert report.boot

    h1.order(DetachNic(config.uuid, third))
    h1.order(DetachDisk(config.uuid, new_disk))
    h1.order(ChangeCdrom(config.uuid, CdromConfig()))
    found = h1.guest(config.uuid).config

    assert (len(found.nics), len(found.disks), found.cdrom) == (2, 2, CdromConfig())


def test_changes_behind_our_back_are_seen(h1):
    config = full_guest(h1.lab)
    start(h1, config)
    h1.wait_for_report(config.uuid)
    assert wait_until(lambda: h1.guest(config.uuid).memory_bytes == 192 * MIB)
    h1.virsh("setmem", config.uuid, "176M", "--live")
    h1.virsh("domif-setlink", config.uuid, "52:54:00:00:00:01", "down")
    assert h1.virsh("setvcpus", config.uuid, "2", "--live").returncode == 0

    assert wait_until(lambda: h1.guest(config.uuid).config.memory.current_bytes == 176 * MIB)
    found = h1.guest(config.uuid).config
    assert found.nics[0].link == "down"
    assert found.cpu.sockets == 2


def test_a_disk_grown_through_the_guest_is_seen_at_once(h1):
    disk = make_disk(h1.lab)
    config = make_guest(disks=(disk,))
    start(h1, config)
    h1.wait_for_report(config.uuid)
    assert h1.guest(config.uuid).disk_capacities == ((disk.image, 64 * MIB),)
    h1.host.hypervisor.resize_disk(config.uuid, "vda", 96 * MIB)

    assert wait_until(lambda: h1.guest(config.uuid).disk_capacities == ((disk.image, 96 * MIB),))
    h1.wait_for_report(config.uuid, accept=lambda report: report.disks["vda"] == (96 * MIB, False))


def test_a_console_password_is_set_known_by_digest_only_and_locked_again(h1):
    config = make_guest(vnc=VncConfig())
    start(h1, config)
    assert h1.guest(config.uuid).applied_secrets == ()
    h1.order(
        SetVncPassword(config.uuid, "vnc/a"), secrets={"vnc/a": "opensesa"}, secret_digests={"vnc/a": "cafe"}
    )
    guest = h1.guest(config.uuid)

    assert guest.applied_secrets == (("vnc/a", "cafe"),)
    assert guest.config.vnc == VncConfig("vnc/a")
    assert "opensesa" not in h1.host.hypervisor.domain_xml(config.uuid)
    with pytest.raises(OperationError, match="1 to 8"):
        h1.order(SetVncPassword(config.uuid, "vnc/a"), secrets={"vnc/a": "much too long"})
    h1.order(SetVncPassword(config.uuid, None))
    assert h1.guest(config.uuid).applied_secrets == ()
    assert h1.guest(config.uuid).config.vnc == VncConfig()


def test_pause_and_resume(h1):
    config = make_guest()
    start(h1, config)
    h1.order(PauseVm(config.uuid))
    guest = h1.guest(config.uuid)
    assert (guest.state, guest.pause_reason) == ("paused", "user")
    assert "resume it first" in h1.refusal(stop(config, "shutdown"))
    h1.order(ResumeVm(config.uuid))
    assert h1.guest(config.uuid).state == "running"


def test_a_shutdown_presses_the_button_until_the_guest_is_gone(h1):
    config = make_guest()
    start(h1, config)
    h1.order(stop(config, "shutdown", stopped_by_manifest=True))

    assert h1.guest(config.uuid) is None
    run = h1.record(config.uuid).run
    assert (run.closed, run.stopped_by_manifest) == ("stopped", True)
    assert h1.host.exits.pending() == ()


def test_a_guest_that_ignores_the_button_keeps_running(h1):
    config = make_guest("ostler.ignore_power=1")
    start(h1, config)
    h1.wait_for_report(config.uuid)
    with pytest.raises(OperationError, match="did not shut down within 6 s"):
        h1.order(StopVm(MASTER, config.uuid, 1, "shutdown", 6_000, "stopped"))

    assert h1.guest(config.uuid).state == "running"
    assert h1.record(config.uuid).run.closed is None


def test_a_reboot_order_gives_the_guest_its_next_run_and_its_new_configuration(h1):
    config = make_guest()
    start(h1, config)
    h1.wait_for_report(config.uuid)
    wanted = replace(config, run=2, cpu=CpuConfig("maximum", 2, 1, 1, 2))
    h1.order(RebootVm(MASTER, wanted, 30_000))

    assert h1.guest(config.uuid).config == wanted
    assert h1.record(config.uuid).run.number == 2
    assert h1.host.exits.pending() == ()


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda h1, vm: h1.virsh("destroy", vm), "destroyed"),
        (lambda h1, vm: h1.virsh("shutdown", vm), "shutdown"),
        (lambda h1, vm: kill_qemu(h1, vm, signal.SIGKILL), "crashed"),
        (lambda h1, vm: kill_qemu(h1, vm, signal.SIGTERM), "destroyed"),
    ],
    ids=["virsh-destroy", "power-button", "sigkill", "sigterm"],
)
def test_an_end_that_nobody_ordered_is_kept_with_its_reason_until_the_record_has_it(h1, end, reason):
    config = make_guest()
    start(h1, config)
    h1.wait_for_report(config.uuid)
    end(h1, config.uuid)

    assert wait_until(lambda: h1.guest(config.uuid) is None)
    exits = [exit_ for exit_ in h1.host.exits.pending() if exit_.vm == config.uuid]
    assert [(exit_.run, exit_.reason) for exit_ in exits] == [(1, reason)]
    h1.host.exits.forget(config.uuid, 1)


def kill_qemu(h1: GuestHost, vm: str, number: int) -> None:

    inner = h1.host.hypervisor.list_processes()[vm]
    run_in(h1.lab, h1.name, ["kill", f"-{int(number)}", str(inner)])


def test_a_start_that_libvirt_refuses_closes_the_run_as_failed(h1):
    config = make_guest(nics=(make_nic(1, bridge="nobridge"),))
    define(h1, config)
    with pytest.raises(OperationError, match="nobridge") as caught:
        h1.order(StartVm(MASTER, config))

    assert caught.value.settled
    assert h1.record(config.uuid).run.closed == "failed"
    assert h1.guest(config.uuid) is None


def test_faults_and_missing_files_refuse_a_start_before_anything_is_claimed(h1):
    disk = make_disk(h1.lab)
    (h1.lab.shared / MASTER / "images" / disk.image / disk.volume).unlink()
    config = make_guest(disks=(disk,), cpu=CpuConfig("maximum", 2, 1, 1, 1))
    define(h1, config)

    refusal = h1.refusal(StartVm(MASTER, config))
    assert "maximum of 1" in refusal
    config = replace(config, cpu=CpuConfig("maximum", 1, 1, 1, 1))
    assert disk.volume in h1.refusal(StartVm(MASTER, config))
    assert h1.record(config.uuid).run is None


def test_a_second_start_of_a_running_guest_is_refused_by_its_record(h1):
    config = make_guest()
    start(h1, config)
    with pytest.raises(OperationError, match="may still run"):
        h1.order(StartVm(MASTER, replace(config, run=2)))

    assert h1.guest(config.uuid).state == "running"


def test_a_start_found_after_a_restart_of_the_agent_is_told_from_one_not_done(h1):
    config = make_guest()
    assert start(h1, config)["mac"] == {}
    assert h1.recover(StartVm(MASTER, config)) is True
    h1.order(stop(config))
    assert h1.recover(StartVm(MASTER, replace(config, run=2))) is False

    records = replace(config, run=2)
    claim_run(
        h1.host.storage.place(MASTER), None, config.uuid, 2, (RunHost(h1.host.uuid, h1.host.boot_id),), "k"
    )
    assert h1.recover(StartVm(MASTER, records)) is False
    assert h1.record(config.uuid).run.closed == "failed"


def test_a_guest_whose_qemu_hangs_is_unknown_within_two_seconds_and_delays_no_other(h1):
    hung, other = make_guest(), make_guest()
    start(h1, hung)
    start(h1, other)
    inner = str(h1.host.hypervisor.list_processes()[hung.uuid])
    run_in(h1.lab, h1.name, ["kill", "-STOP", inner])
    try:
        began = time.monotonic()
        first = h1.guest(hung.uuid)
        assert time.monotonic() - began < 2.5
        assert first.state == "unknown"
        assert first.config == hung
        began = time.monotonic()
        assert h1.guest(other.uuid).state == "running"
        h1.order(PauseVm(other.uuid))
        assert time.monotonic() - began < 1.0
    finally:
        run_in(h1.lab, h1.name, ["kill", "-CONT", inner])
    assert wait_until(lambda: h1.guest(hung.uuid).state == "running")


def test_a_restart_of_libvirtd_ends_no_guest_and_events_come_back(h1):
    config = make_guest()
    start(h1, config)
    heard = []
    h1.host.hypervisor.listen(heard.append)
    restart_libvirtd(h1.lab, h1.name)
    assert wait_until(lambda: any(event.kind == "connected" for event in heard))
    assert wait_until(lambda: h1.guests.collect().complete)
    assert h1.guest(config.uuid).state == "running"
    h1.order(PauseVm(config.uuid))
    assert wait_until(lambda: any(event.kind == "suspended" for event in heard))


def test_a_persistent_domain_of_somebody_else_is_reported_unmanaged_with_what_it_is(h1):
    vm = "ab1c1c9e-65a4-4c1c-9b7c-0d2a54c1b6a1"
    xml = f"""<domain type='qemu'><name>Foreign One</name><uuid>{vm}</uuid><memory unit='MiB'>64</memory>
      <vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
      <devices><interface type='bridge'><mac address='52:54:00:00:00:09'/><source bridge='br0'/>
      <model type='virtio'/></interface></devices></domain>"""
    path = h1.host.paths.state / "foreign.xml"
    path.write_text(xml)
    assert h1.virsh("define", str(path)).returncode == 0
    assert h1.guest(vm) is None
    assert h1.virsh("start", vm).returncode == 0
    guest = h1.guest(vm)

    assert (guest.managed, guest.persistent, guest.title) == (False, True, "Foreign One")
    assert guest.config.nics[0].bridge == "br0"
    assert guest.config.machine.startswith("pc-i440fx-")


def test_the_probe_sees_whether_guest_code_runs():
    emulator = "/usr/bin/qemu-system-x86_64"

    assert runs_guest_code(emulator, "tcg")
    assert not runs_guest_code(emulator, "no-such-accelerator")
    assert not runs_guest_code("/nowhere/qemu")
