"""Guests that others made are taken over as they run; nothing is removed without consent, and what was can come back."""

from pathlib import Path

from reconciler.lab.model import GUEST_INSIDE
from tests.lab.apply_estate import Estate

STRANGER = "c0ffee00-5f49-4d1b-86be-2a7d90f4c613"
MAC = "00:1a:4a:16:01:51"
DOMAIN = f"""
<domain type='qemu'>
  <name>ERP_Production</name><uuid>{STRANGER}</uuid>
  <memory unit='MiB'>128</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <kernel>{GUEST_INSIDE}/vmlinux</kernel><initrd>{GUEST_INSIDE}/initrd</initrd>
    <cmdline>console=ttyS0 quiet</cmdline></os>
  <features><acpi/><apic/></features>
  <cpu mode='custom' match='exact'><model fallback='forbid'>qemu64</model></cpu>
  <devices>
    <interface type='bridge'><source bridge='lan'/><mac address='{MAC}'/><model type='virtio'/></interface>
    <serial type='pty'><log file='/var/log/ostler/console/{STRANGER}.log' append='on'/></serial>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""


def define_stranger(estate: Estate, host: str) -> None:
    """What an operator did with virsh, long before there was Ostler."""
    console = estate.lab.host(host).outside("/var/log/ostler/console")
    console.mkdir(exist_ok=True)
    file = estate.lab.shared / "erp.xml"
    file.write_text(DOMAIN)
    estate.virsh(host, "define", f"/srv/ostler/shared/{file.name}")
    estate.virsh(host, "start", STRANGER)
    file.unlink()


def declare_stranger(estate: Estate, **spec: object) -> str:
    return estate.declare_vm(
        "erp", disk=None, uuid=STRANGER, memory="128Mi", machineType="pc-q35-7.2", cpu={"model": "qemu64"},
        rng=False, nics=[{"name": "nic1", "network": "lan", "mac": MAC}], **spec,
    )  # fmt: skip


def test_a_running_guest_of_others_is_reported_then_taken_over_and_then_lives_like_any_other(
    estate: Estate,
) -> None:
    define_stranger(estate, "h2")
    before = estate.see(STRANGER)
    plan, shown = estate.plan()
    assert (plan.steps, plan.blocked) == ((), ()), shown

    vm = declare_stranger(estate)
    plan, shown = estate.plan()
    assert [step.id for step in plan.steps] == [f"{vm}#adopt"], shown
    estate.apply()
    estate.assert_undisturbed(STRANGER, before)
    plan, shown = estate.plan()
    assert (plan.steps, plan.blocked) == ((), ()), shown

    estate.change(vm, nics=[{"name": "nic1", "network": "dmz", "mac": MAC}])
    estate.apply()
    estate.assert_undisturbed(STRANGER, before)
    assert "dmz" in estate.virsh("h2", "domiflist", STRANGER)

    estate.change(vm, placement={"hosts": ["h1"]})
    estate.apply()
    estate.assert_undisturbed(STRANGER, before, moved=True)
    assert STRANGER not in estate.virsh("h2", "list", "--all", "--uuid"), "no definition is left behind"

    estate.change(vm, runPolicy="Stopped")
    estate.apply()
    assert all(
        STRANGER not in estate.virsh(host.name, "list", "--all", "--uuid") for host in estate.lab.hosts
    )
    estate.change(vm, runPolicy=None)
    estate.apply()
    assert estate.see(STRANGER).boot != before.boot
    estate.assert_settled()


def consent(estate: Estate, identifier: str) -> None:
    metadata = estate.documents[identifier]["metadata"]
    metadata["annotations"] = {"ostler.dev/allow-destroy": estate.uuid(identifier)}


def volume(estate: Estate, disk: str) -> Path:
    """The file with a disk's bytes, in use or removed."""
    (directory,) = (estate.master / "images").glob(f"*{estate.uuid(disk)}*")
    (found,) = (path for path in directory.iterdir() if not path.suffix)
    return found


def apply_removal(estate: Estate, vm: str, disk: str, size: int) -> None:
    """Both go, as the plan says; the bytes of the disk stay under another name."""
    plan, shown = estate.plan()
    assert {(step.object, step.disruption.value) for step in plan.steps} == {
        (vm, "power-off"), (vm, "data-loss"), (disk, "data-loss"),
    }, shown  # fmt: skip
    estate.apply()
    assert estate.homes(vm) == []
    assert estate.record(vm).removed
    image = volume(estate, disk)
    assert image.parent.name != estate.uuid(disk)
    assert image.stat().st_size == size, "its bytes stay for the days of retention"
    estate.assert_settled()


def test_what_manifests_leave_out_is_removed_only_with_its_consent_and_comes_back(estate: Estate) -> None:
    vm, disk = estate.declare_vm("scratch", disk="8Mi"), "disk/scratch-root"
    stays = estate.declare_vm("stays", disk=None)
    estate.apply()
    before, bystander = estate.see(vm), estate.see(stays)
    counted = estate.report(vm, lambda one: one.heartbeat is not None and one.heartbeat.count >= 2).heartbeat
    kept = {name: estate.documents[name] for name in (vm, disk)}

    for name in kept:
        del estate.documents[name]
    plan, shown = estate.plan()
    assert (plan.steps, {one.object for one in plan.blocked}) == ((), {vm, disk}), shown
    assert all(estate.uuid(one.object) in one.action for one in plan.blocked), shown
    estate.apply(status=3)
    estate.assert_undisturbed(vm, before)

    estate.documents |= kept
    for name in kept:
        consent(estate, name)
    estate.apply()
    estate.assert_undisturbed(vm, before)
    size = volume(estate, disk).stat().st_size
    for name in kept:
        del estate.documents[name]
    apply_removal(estate, vm, disk, size)
    estate.assert_undisturbed(stays, bystander)

    for name, document in kept.items():
        document["metadata"].pop("annotations", None)
        estate.documents[name] = document
    estate.change(disk, uuid=estate.uuid(disk))
    plan, shown = estate.plan()
    assert "restore-disk" in [step.kind for step in plan.steps if step.object == disk], shown
    estate.apply()
    again = estate.uuid(vm, 2)
    found = estate.report(again).heartbeat
    assert found is not None
    assert counted is not None
    assert found.found is not None
    assert found.found >= counted.count, "the bytes are those of before"
    estate.assert_settled()

    del estate.documents[vm]
    del estate.documents[disk]
    plan, shown = estate.plan()
    assert {one.object for one in plan.blocked} == {vm, disk}, "consent is used once"


def test_manifests_that_drop_everything_are_blocked_as_a_whole(estate: Estate) -> None:
    vms = [estate.declare_vm(f"many-{number}", disk=None, runPolicy="Stopped") for number in range(12)]
    estate.apply()
    for vm in vms:
        consent(estate, vm)
    estate.apply()
    for vm in vms:
        del estate.documents[vm]
    plan, shown = estate.plan()
    assert (plan.steps, shown.status) == ((), 3), shown
    assert "--allow-prune" in shown.out, shown
    estate.apply("--allow-prune", "12")
    estate.assert_settled()
