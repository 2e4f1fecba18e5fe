"""Guests on lab hosts: what they see, how they move, what ends them."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.lab.acceleration import kernel_starts
from reconciler.lab.commands import run_checked
from reconciler.lab.guestimage import build_guest_image, default_cache
from reconciler.lab.guestlog import GuestReport, read_last_report
from reconciler.lab.inside import run_in
from reconciler.lab.model import Lab
from reconciler.lab.power import power_off, power_on
from reconciler.lab.processes import wait_until

MAC = "52:54:00:00:00:01"
LIMIT_S = 60


class Guest:
    """A transient domain of a lab, by its name."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.name = f"guest-{uuid.uuid4().hex[:8]}"
        self.disk = f"{self.name}.qcow2"
        run_checked(["qemu-img", "create", "-q", "-f", "qcow2", str(lab.shared / self.disk), "64M"])

    def start(
        self,
        host: str,
        *,
        memory: int = 128,
        cmdline: str = "",
        os: str = "",
        machine: str = "pc",
        devices: str = "",
    ) -> None:
        done = run_in(
            self.lab,
            host,
            ["virsh", "create", "/dev/stdin"],
            text_in=f"""
<domain type='{"kvm" if self.lab.kvm else "qemu"}'>
  <name>{self.name}</name><memory unit='MiB'>{memory}</memory><vcpu current='1'>2</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type>{os}
    <kernel>/usr/share/ostler/guest/vmlinuz</kernel><initrd>/usr/share/ostler/guest/initrd</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 ostler.heartbeat=vda {cmdline}</cmdline></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>
      <source file='/srv/ostler/shared/{self.disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='ethernet'><mac address='{MAC}'/><model type='virtio'/></interface>
    <serial type='pty'><log file='/var/log/libvirt/{self.name}.console' append='on'/></serial>
    {devices}<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>""",
        )
        assert done.returncode == 0, done.stderr

    def report(self, host: str) -> GuestReport | None:
        return read_last_report(self.lab.host(host).outside(f"/var/log/libvirt/{self.name}.console"))

    def wait_for_report(self, host: str, after_ms: int = 0) -> GuestReport:
        def spoke() -> bool:
            report = self.report(host)
            return report is not None and report.uptime_ms > after_ms

        assert wait_until(spoke, LIMIT_S), f"{self.name} said nothing new on {host}"
        report = self.report(host)
        assert report
        return report

    def is_on(self, host: str) -> bool:
        return self.name in run_in(self.lab, host, ["virsh", "list", "--name"]).stdout.split()


@pytest.fixture
def guest(bare_lab: Lab) -> Iterator[Guest]:
    made = Guest(bare_lab)
    yield made
    for host in bare_lab.hosts:
        if made.is_on(host.name):
            run_in(bare_lab, host.name, ["virsh", "destroy", made.name])
    (bare_lab.shared / made.disk).unlink()


def test_a_guest_of_128_mib_boots_and_tells_what_it_sees(guest: Guest) -> None:
    guest.start("h1")
    report = guest.wait_for_report("h1")

    assert report.cpus == 1
    assert 64 * 1024 < report.memory_kib < 128 * 1024
    assert report.disks == {"vda": (64 * 2**20, False)}
    assert set(report.nics) == {MAC}
    assert report.cd is None
    assert report.rng
    assert report.heartbeat
    assert report.heartbeat.found is None


def test_a_guest_of_160_mib_boots_from_uefi(guest: Guest) -> None:
    firmware = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>"
    variables = "<nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/>"
    guest.start("h1", memory=160, os=firmware + variables, machine="q35")

    assert guest.wait_for_report("h1").disks == {"vda": (64 * 2**20, False)}


def test_a_guest_sees_every_kind_of_disk_nic_and_cd(guest: Guest) -> None:
    """A medium is an ISO 9660 volume descriptor with a label, which is all that the guest reads."""
    medium = bytearray(40 * 2048)
    medium[32768:32774] = b"\x01CD001"
    medium[32808:32840] = b"OSTLER_CD".ljust(32)
    (guest.lab.shared / "cd.iso").write_bytes(medium)
    for name in ("sata", "scsi"):
        run_checked(["qemu-img", "create", "-q", "-f", "raw", str(guest.lab.shared / name), "8M"])
    disk = "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/>"
    shared = "/srv/ostler/shared"
    guest.start(
        "h1",
        memory=160,
        machine="q35",
        devices=f"""
{disk}<source file='{shared}/sata'/><target dev='sda' bus='sata'/></disk>
{disk}<source file='{shared}/scsi'/><target dev='sdb' bus='scsi'/><readonly/></disk>
<controller type='scsi' model='virtio-scsi'/>
<disk type='file' device='cdrom'><source file='{shared}/cd.iso'/><target dev='sdc' bus='sata'/><readonly/></disk>
<interface type='ethernet'><mac address='52:54:00:00:00:02'/><model type='e1000'/></interface>
<interface type='ethernet'><mac address='52:54:00:00:00:03'/><model type='rtl8139'/></interface>""",
    )
    report = guest.wait_for_report("h1")

    assert sorted(report.disks.values()) == [(8 * 2**20, False), (8 * 2**20, True), (64 * 2**20, False)]
    assert set(report.nics) == {MAC, "52:54:00:00:00:02", "52:54:00:00:00:03"}
    assert report.cd == "OSTLER_CD"
    run_in(guest.lab, "h1", ["virsh", "change-media", guest.name, "sdc", "--eject", "--live", "--force"])

    def ejected() -> bool:
        now = guest.report("h1")
        return now is not None and now.cd is None

    assert wait_until(ejected, LIMIT_S)


def test_a_live_migration_over_tls_moves_a_running_guest(guest: Guest) -> None:
    guest.start("h1")
    before = guest.wait_for_report("h1")
    moved = run_in(
        guest.lab,
        "h1",
        ["virsh", "migrate", "--live", "--p2p", "--tls", guest.name, "qemu+tls://h2/system"],
    )
    assert moved.returncode == 0, moved.stderr
    after = guest.wait_for_report("h2", after_ms=before.uptime_ms)

    assert after.boot == before.boot
    assert before.heartbeat
    assert after.heartbeat
    assert after.heartbeat.count > before.heartbeat.count
    assert (after.heartbeat.intruder, after.heartbeat.errors) == (False, 0)
    assert not guest.is_on("h1")


def test_data_survive_a_power_cut_that_ends_the_guest(guest: Guest) -> None:
    guest.start("h1")
    before = guest.wait_for_report("h1")
    power_off(guest.lab, "h1")
    try:
        cmdlines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        assert not any(guest.name.encode() in cmdline for cmdline in cmdlines)
        guest.start("h2")
        after = guest.wait_for_report("h2")
    finally:
        power_on(guest.lab, "h1")

    assert after.boot != before.boot
    assert before.heartbeat
    assert after.heartbeat
    assert after.heartbeat.found is not None
    assert after.heartbeat.found >= before.heartbeat.count


def test_two_hosts_cannot_open_one_disk_for_writing(guest: Guest) -> None:
    guest.start("h1")
    with pytest.raises(AssertionError, match="lock"):
        guest.start("h2")


def test_the_power_button_ends_a_guest(guest: Guest) -> None:
    guest.start("h1")
    guest.wait_for_report("h1")
    run_in(guest.lab, "h1", ["virsh", "shutdown", guest.name])

    assert wait_until(lambda: not guest.is_on("h1"), LIMIT_S)
    log = guest.lab.host("h1").outside(f"/var/log/libvirt/qemu/{guest.name}.log").read_text()
    assert "reason=shutdown" in log


def test_a_guest_told_to_ignores_the_power_button_and_ends_by_itself_later(guest: Guest) -> None:
    guest.start("h1", cmdline="ostler.ignore_power=1 ostler.poweroff_after=8")
    first = guest.wait_for_report("h1")
    run_in(guest.lab, "h1", ["virsh", "shutdown", guest.name])

    assert guest.wait_for_report("h1", after_ms=first.uptime_ms + 2000).boot == first.boot
    assert wait_until(lambda: not guest.is_on("h1"), LIMIT_S)


def test_a_guest_that_dirties_memory_keeps_a_slow_migration_from_ending_until_it_is_cancelled(
    guest: Guest,
) -> None:
    guest.start("h1", memory=192, cmdline="ostler.dirty=48")
    before = guest.wait_for_report("h1")
    migrate = f"virsh migrate --live --p2p --tls --bandwidth 16 {guest.name} qemu+tls://h2/system"
    run_in(guest.lab, "h1", ["sh", "-c", f"{migrate} >/dev/null 2>&1 &"])

    def iterations() -> int:
        lines = run_in(guest.lab, "h1", ["virsh", "domjobinfo", guest.name]).stdout.splitlines()
        found = [line.split()[-1] for line in lines if line.startswith("Iteration:")]
        return int(found[0]) if found else 0

    assert wait_until(lambda: iterations() >= 4, LIMIT_S)
    run_in(guest.lab, "h1", ["virsh", "domjobabort", guest.name])
    assert wait_until(lambda: not guest.is_on("h2"), LIMIT_S)
    assert guest.wait_for_report("h1", after_ms=before.uptime_ms + 1000).boot == before.boot


def test_hot_plugged_processors_and_a_smaller_balloon_are_seen(guest: Guest) -> None:
    guest.start("h1", memory=256)
    first = guest.wait_for_report("h1")
    run_in(guest.lab, "h1", ["virsh", "setvcpus", guest.name, "2", "--live"])
    run_in(guest.lab, "h1", ["virsh", "setmem", guest.name, "200M", "--live"])

    def adapted() -> bool:
        report = guest.report("h1")
        return report is not None and report.cpus == 2 and report.memory_kib < first.memory_kib - 40 * 1024

    assert wait_until(adapted, LIMIT_S), guest.report("h1")


def test_a_kernel_that_cannot_run_is_told_from_one_that_can() -> None:
    image = build_guest_image(default_cache())

    assert kernel_starts(image, "tcg", limit_s=LIMIT_S)
    assert not kernel_starts(image, "no-such-accelerator")
