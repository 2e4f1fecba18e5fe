"""Every field of VMs and disks, as the table of diffing has it: what a guest feels of its change, by its own uptime.

What changes live and is seen by the guest is in test_apply_live_changes; here is the rest, many fields in one plan.
"""

from typing import Any

import pytest

from reconciler.diffing.fields import TABLE
from reconciler.lab.model import GUEST_INSIDE
from tests.lab.apply_estate import MIB, Estate
from tests.lab.monitor_events import QUIT, Felt, listening

QUIET, SEEN, PENDING, REFUSED, MOVES, POWER = "quiet", "seen", "pending", "refused", "moves", "power"
ROWS = {
    ("vm.cpu.sockets", "within-maximum"): SEEN,
    ("vm.memory", "within-maximum"): SEEN,
    ("vm.disks", "added"): SEEN,
    ("vm.disks", "removed"): SEEN,
    ("vm.nics", "added"): SEEN,
    ("vm.nics", "removed"): SEEN,
    ("vm.nics.network", "always"): SEEN,
    ("vm.nics.link", "always"): SEEN,
    ("vm.cdrom.file", "always"): SEEN,
    ("vm.vnc.password", "always"): SEEN,
    ("disk.size", "raised"): SEEN,
    **{(f"vm.{name}", "always"): PENDING for name in (
        "name", "description", "cpu.sockets", "cpu.cores", "cpu.threads", "cpu.maxSockets", "cpu.model",
        "machineType", "memory", "maxMemory", "firmware", "boot", "disks.bus", "disks.bootOrder",
        "disks.readOnly", "nics.mac", "nics.model", "cdrom", "serial", "vnc", "balloon", "rng", "tpm")},
    **{(f"vm.{name}", "always"): QUIET for name in (
        "guaranteedMemory", "placement.migration", "priority", "restartPolicy", "shutdownTimeout")},
    ("disk.name", "always"): QUIET,
    ("disk.description", "always"): QUIET,
    ("vm.cluster", "stopped"): MOVES,
    ("vm.placement.hosts", "always"): MOVES,
    ("vm.runPolicy", "always"): POWER,
    ("vm.cluster", "running"): REFUSED,
    ("vm.uuid", "always"): REFUSED,
    ("disk.size", "lowered"): REFUSED,
    **{(f"disk.{name}", "always"): REFUSED for name in ("format", "allocation", "storageDomain", "uuid")},
}  # fmt: skip
EFFECTS = {QUIET: "live", SEEN: "live", POWER: "live", PENDING: "next-start", REFUSED: "refuse"}
OTHER = "0ddba11e-5f49-4d1b-86be-2a7d90f4c613"


def test_every_row_of_the_table_is_tried_on_a_real_guest() -> None:
    rows = {
        (row.field, row.when): row.effect.value for row in TABLE if row.field.startswith(("vm.", "disk."))
    }
    assert rows.keys() == ROWS.keys()
    for row, kind in ROWS.items():
        assert rows[row] == EFFECTS.get(kind, rows[row]), row


@pytest.fixture(scope="module")
def estate(machine_room: Estate) -> Estate:
    """Two clusters, two storage domains, and two guests that live through all of it."""
    estate = machine_room
    estate.reset()
    estate.declare("Cluster", "edge", dataCenter="e2e", networks=["lan", "dmz"])
    estate.change("host/h3", cluster="edge")
    estate.apply()
    (estate.lab.shared / "second").mkdir()
    estate.declare(
        "StorageDomain", "second", dataCenter="e2e", type="posixfs", path="/srv/ostler/shared/second",
        vfsType="none", mountOptions="bind", criticalSpace="1Mi",
    )  # fmt: skip
    estate.declare("Disk", "data", storageDomain="shared", size="8Mi")
    nics = [{"name": "nic1", "network": "lan"}, {"name": "nic2", "network": "lan"}]
    disks = [{"disk": "full-root"}, {"disk": "data"}]
    estate.declare_vm("full", cpu={"sockets": 1, "cores": 2}, nics=nics, disks=disks)
    estate.declare_vm("mute", disk=None)
    estate.apply()
    return estate


def kinds(estate: Estate) -> set[str]:
    return {step.kind for step in estate.plan()[0].steps}


def test_what_only_placement_and_people_read_changes_nothing_in_the_guest(estate: Estate) -> None:
    before = estate.see("vm/full")
    estate.change(
        "vm/full", guaranteedMemory="96Mi", priority=70, restartPolicy="WhenNeeded", shutdownTimeout="25s",
        placement={"migration": "Pinned"},
    )  # fmt: skip
    estate.change("disk/data", name="Data of everybody", description="kept in its record")
    assert kinds(estate) <= {"write-vm-record", "write-disk-record"}
    with listening(estate, "vm/full") as events:
        estate.apply()
        estate.assert_undisturbed("vm/full", before)
        estate.change("vm/full", restartPolicy=None, placement=None)
        estate.apply()
        estate.assert_undisturbed("vm/full", before)
        assert events.felt("vm/full") == {}
    estate.assert_settled()


REFUSALS: list[tuple[str, dict[str, Any]]] = [
    ("vm/full", {"cluster": "edge"}),
    ("vm/full", {"uuid": OTHER}),
    ("disk/data", {"size": "4Mi"}),
    ("disk/data", {"format": "raw"}),
    ("disk/data", {"allocation": "preallocated"}),
    ("disk/data", {"storageDomain": "second"}),
    ("disk/data", {"uuid": OTHER}),
]


@pytest.mark.parametrize(("identifier", "spec"), REFUSALS)
def test_what_cannot_change_in_place_is_blocked_and_nothing_is_done(
    estate: Estate, identifier: str, spec: dict[str, Any]
) -> None:
    declared = estate.documents[identifier]["spec"]
    before = {name: declared.get(name) for name in spec}
    estate.change(identifier, **spec)
    try:
        plan, shown = estate.plan()
    finally:
        estate.change(identifier, **before)
    assert identifier in [one.object for one in plan.blocked], shown
    assert {step.kind for step in plan.steps} <= {"write-vm-record", "write-disk-record"}, shown
    assert {step.disruption for step in plan.steps} <= {"none"}, shown


CHANGED: dict[str, Any] = {
    "name": "Full_of.Changes",
    "description": "One line & <more>",
    "cpu": {"sockets": 2, "maxSockets": 2, "cores": 1, "model": "qemu64"},
    "machineType": "pc-q35-7.1",
    "memory": "224Mi",
    "maxMemory": "224Mi",
    "firmware": "uefi",
    "boot": {
        "kernel": f"{GUEST_INSIDE}/vmlinuz",
        "initrd": f"{GUEST_INSIDE}/initrd",
        "cmdline": "console=ttyS0 quiet",
    },
    "disks": [{"disk": "full-root", "bus": "sata", "bootOrder": 1}, {"disk": "data", "readOnly": True}],
    "nics": [
        {"name": "nic1", "network": "lan", "model": "e1000"},
        {"name": "nic2", "network": "lan", "mac": "02:00:00:00:00:02"},
    ],
    "cdrom": {},
    "vnc": {},
    "balloon": False,
    "rng": False,
    "tpm": True,
}


MUTED: dict[str, Any] = {"serial": False, "cpu": {"threads": 2}}
"""What the other guest cannot tell any more, or has no room for beside the rest on two cores."""


def test_what_is_fixed_while_a_guest_runs_waits_for_its_next_start_and_is_there_then(estate: Estate) -> None:
    before = {vm: estate.see(vm) for vm in ("vm/full", "vm/mute")}
    estate.change("vm/full", **CHANGED)
    estate.change("vm/mute", **MUTED)
    plan, shown = estate.plan()
    assert {step.kind for step in plan.steps} <= {"write-vm-record", "write-disk-record"}, shown
    waiting = {one.object: {change.field for change in one.fields} for one in plan.deferred}
    pending = {field for (field, _when), kind in ROWS.items() if kind == PENDING}
    assert waiting["vm/mute"] == {"vm.serial", "vm.cpu.threads"}, shown
    assert {bare(field) for field in waiting["vm/full"]} == pending - waiting["vm/mute"], shown
    with listening(estate, *before) as events:
        estate.apply()
        for vm, seen in before.items():
            estate.assert_undisturbed(vm, seen)
            assert events.felt(vm) == {}
    assert {one.object for one in estate.plan()[0].deferred} == {"vm/full", "vm/mute"}

    for vm in before:
        estate.change(vm, restartPolicy="WhenNeeded")
    plan, shown = estate.plan()
    restarts = [step for step in plan.steps if step.kind == "reboot-vm"]
    assert {(step.object, step.disruption.value) for step in restarts} == {
        ("vm/full", "restart"), ("vm/mute", "restart"),
    }, shown  # fmt: skip
    with listening(estate, *before) as events:
        estate.apply()
        for vm, seen in before.items():
            assert_restarted(events.felt(vm), seen.host)
    estate.assert_settled()
    assert_new_guest(estate, before["vm/full"].boot)


def assert_restarted(felt: Felt, host: str) -> None:
    """The guest ended once and another began, on the same host."""
    assert felt.keys() == {host}
    names = felt[host]
    assert names.count("SHUTDOWN") == 1, names
    assert "RESET" not in names
    assert names[-1] == "RESUME", names


def bare(field: str) -> str:
    """`vm.disks[disk/data].bus` as the table has it."""
    head, bracket, tail = field.partition("[")
    return head + tail.partition("]")[2] if bracket else field


def assert_new_guest(estate: Estate, old_boot: str) -> None:
    """The guest itself sees what was declared; the host's XML tells what it cannot see."""
    seen = estate.report("vm/full", lambda one: "02:00:00:00:00:02" in one.nics, limit_s=120)
    assert seen.boot != old_boot
    assert seen.cpus == 2
    assert seen.memory_kib > 150 * 1024
    assert seen.disks["sda"] == (64 * MIB, False)
    assert seen.disks["vda"] == (8 * MIB, True)
    assert not seen.rng
    full = estate.virsh(estate.home_of("vm/full"), "dumpxml", estate.uuid("vm/full"))
    for text in ("pc-q35-7.1", "qemu64", "sockets='2'", "OVMF", "type='e1000'", "device='cdrom'", "type='vnc'", "<tpm ",
                 "<memballoon model='none'", "Full_of.Changes"):  # fmt: skip
        assert text in full, text
    mute = estate.virsh(estate.home_of("vm/mute"), "dumpxml", estate.uuid("vm/mute"))
    assert "<serial" not in mute
    assert "threads='2'" in mute


def test_a_vm_moves_to_its_hosts_while_it_runs_and_to_its_cluster_while_it_is_stopped(estate: Estate) -> None:
    vm = estate.declare_vm("nomad", disk=None, placement={"hosts": ["h1"]})
    estate.apply()
    before = estate.see(vm)
    estate.change(vm, placement={"hosts": ["h2"]})
    plan, shown = estate.plan()
    assert [step.disruption for step in plan.steps if step.kind == "migrate-vm"] == ["live-migrate"], shown
    with listening(estate, vm) as events:
        estate.apply()
        now = estate.assert_undisturbed(vm, before, moved=True)
        assert_moved(events.felt(vm), before.host, now.host)

        estate.change(vm, runPolicy="Stopped", placement=None)
        estate.apply()
        assert "RESET" not in events.ended(vm, now.host)
    estate.change(vm, runPolicy=None, cluster="edge")
    estate.apply()
    assert estate.homes(vm) == ["h3"]
    estate.assert_settled()


def assert_moved(felt: Felt, source: str, destination: str) -> None:
    """It stopped here and went on there, once; an emulated guest stands still meanwhile, so it stops before the end."""
    assert felt.keys() == {source, destination}, felt
    assert set(felt[source]) <= {"STOP", QUIT}, felt
    assert felt[source].count("STOP") == 1, felt
    assert felt[destination] == ["RESUME"], felt
