"""Fields changed while the guest runs: what the guest itself sees of each, and that none disturbs it."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.lab.guestlog import GuestReport
from tests.lab.apply_estate import MIB, Estate, Seen, wait_for
from tests.lab.monitor_events import listening


@pytest.fixture(scope="module")
def vm(data_center: Estate) -> str:
    """A guest with one of everything that can change while it runs."""
    estate = data_center
    (estate.directory / "secrets/console").mkdir(parents=True)
    for key in ("first", "second"):
        (estate.directory / "secrets/console" / key).write_text(f"{key}pw\n")
    estate.declare("Disk", "extra", storageDomain="shared", size="8Mi")
    vm = estate.declare_vm(
        "live",
        memory="160Mi",
        maxMemory="192Mi",
        guaranteedMemory="96Mi",
        cpu={"sockets": 1, "maxSockets": 3},
        nics=[{"name": "nic1", "network": "lan"}, {"name": "nic2", "network": "lan"}],
        cdrom={},
        vnc={"password": {"secret": "console", "key": "first"}},
    )
    apply(estate)
    for name in ("one", "two"):
        make_iso(estate, name)
    return vm


@pytest.fixture
def estate(data_center: Estate, vm: str) -> Estate:
    """The module's data center, which keeps its VM from test to test."""
    return data_center


def apply(estate: Estate) -> None:
    estate.apply("--secrets", str(estate.directory / "secrets"))


def make_iso(estate: Estate, label: str) -> None:
    """An ISO 9660 image with a label, as its primary volume descriptor has it, in the domain's ISO directory."""
    images = estate.master / "images/11111111-1111-1111-1111-111111111111"
    images.mkdir(exist_ok=True)
    descriptor = b"\x01CD001\x01\x00" + b" " * 32 + label.encode().ljust(32)
    (images / f"{label}.iso").write_bytes(bytes(16 * 2048) + descriptor.ljust(2048, b"\0") + bytes(2048 * 16))


def nics(**first: str) -> list[dict[str, str]]:
    return [{"name": "nic1", "network": "lan"} | first, {"name": "nic2", "network": "lan"}]


def mac(estate: Estate, vm: str, name: str = "nic1") -> str:
    return estate.record(vm).macs[name]


Accept = Callable[[GuestReport], bool]
CASES: dict[str, tuple[dict[str, Any], set[str], Accept]] = {
    "memory-down": ({"memory": "128Mi"}, {"set-vm-memory"}, lambda seen: seen.memory_kib < 84 * 1024),
    "memory-up": ({"memory": "192Mi"}, {"set-vm-memory"}, lambda seen: seen.memory_kib > 140 * 1024),
    "vcpus-up": ({"cpu": {"sockets": 2, "maxSockets": 3}}, {"set-vm-cpus"}, lambda seen: seen.cpus == 2),
    "cd-in": ({"cdrom": {"storageDomain": "shared", "file": "one.iso"}}, {"change-cdrom"},
              lambda seen: seen.cd == "one"),
    "cd-changed": ({"cdrom": {"storageDomain": "shared", "file": "two.iso"}}, {"change-cdrom"},
                   lambda seen: seen.cd == "two"),
    "cd-out": ({"cdrom": {}}, {"change-cdrom"}, lambda seen: seen.cd is None),
    "disk-plugged": ({"disks": [{"disk": "live-root"}, {"disk": "extra"}]}, {"attach-disk"},
                     lambda seen: seen.disks.get("vdb") == (8 * MIB, False)),
    "disk-unplugged": ({"disks": [{"disk": "live-root"}]}, {"detach-disk"},
                       lambda seen: "vdb" not in seen.disks),
    "nic-plugged": ({"nics": [*nics(), {"name": "nic3", "network": "dmz"}]}, {"attach-nic"},
                    lambda seen: len(seen.nics) == 3),
    "nic-unplugged": ({"nics": nics()}, {"detach-nic"}, lambda seen: len(seen.nics) == 2),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_running_guest_sees_the_change(estate: Estate, vm: str, case: str) -> None:
    spec, kinds, accept = CASES[case]
    before = estate.see(vm)
    estate.change(vm, **spec)
    plan, shown = estate.plan()
    assert {step.kind for step in plan.steps} - {"write-vm-record"} == kinds, shown
    assert {step.disruption for step in plan.steps} == {"none"}, shown
    with listening(estate, vm) as events:
        apply(estate)
        estate.report(vm, accept)
        estate.assert_undisturbed(vm, before)
        assert events.felt(vm) == {}
    estate.assert_settled()
    record, declared = estate.record(vm), estate.documents[vm]["spec"]
    assert record.pci.keys() == record.macs.keys(), "every card has its address for good"
    assert record.disks == tuple(f"disk/{one['disk']}" for one in declared["disks"])


def test_a_cable_is_pulled_and_plugged_into_another_network(estate: Estate, vm: str) -> None:
    before = estate.see(vm)
    with listening(estate, vm) as events:
        estate.change(vm, nics=nics(link="down"))
        apply(estate)
        estate.report(vm, lambda seen: seen.nics[mac(estate, vm)][0] is False)

        estate.change(vm, nics=nics(network="dmz"))
        apply(estate)
        estate.report(vm, lambda seen: seen.nics[mac(estate, vm)][0] is True)
        assert bridge_of(estate, vm) == "dmz"

        estate.change(vm, nics=nics())
        apply(estate)
        assert bridge_of(estate, vm) == "lan"
        estate.assert_undisturbed(vm, before)
        assert events.felt(vm) == {}
    estate.assert_settled()


def bridge_of(estate: Estate, vm: str) -> str:
    """Where the host has plugged the guest's first card."""
    listing = estate.virsh(estate.home_of(vm), "domiflist", estate.uuid(vm))
    return next(line.split()[2] for line in listing.splitlines() if mac(estate, vm) in line)


def test_a_new_password_holds_for_the_next_connection_and_is_shown_nowhere(estate: Estate, vm: str) -> None:
    before = estate.see(vm)
    estate.change(vm, vnc={"password": {"secret": "console", "key": "second"}})
    refused = estate.ostler("apply", "-f", str(estate.write()), "--yes")
    assert refused.status != 0, "without --secrets it cannot be read"
    with listening(estate, vm) as events:
        done = estate.ostler(
            "apply", "-f", str(estate.write()), "--yes", "--secrets", str(estate.directory / "secrets")
        )
        assert done.status == 0, done
        estate.assert_undisturbed(vm, before)
        assert events.felt(vm) == {}
    estate.assert_settled()
    assert "secondpw" not in done.out + done.err
    assert not places_of("secondpw", [estate.home, *(host.root / "var" for host in estate.lab.hosts)])


def test_a_changed_secret_is_noticed_and_holds_for_the_next_connection(estate: Estate, vm: str) -> None:
    secrets = str(estate.directory / "secrets")
    estate.change(vm, vnc={"password": {"secret": "console", "key": "first"}})
    apply(estate)
    assert estate.plan("--secrets", secrets)[0].steps == ()
    before = estate.see(vm)
    (estate.directory / "secrets/console/first").write_text("otherpw\n")

    assert estate.steps("--secrets", secrets) == [f"{vm}#set-vnc-password"]
    assert [alert.object for alert in estate.plan()[0].alerts] == ["dc/e2e"], "whoever cannot read it says so"
    apply(estate)

    estate.assert_undisturbed(vm, before)
    assert estate.plan("--secrets", secrets)[0].steps == ()
    assert not places_of("otherpw", [estate.home, *(host.root / "var" for host in estate.lab.hosts)])


def places_of(secret: str, directories: list[Path]) -> str:
    """Files that hold a text."""
    found = subprocess.run(
        ["grep", "-rl", "--binary-files=text", secret, *map(str, directories)],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout


def test_a_change_behind_our_back_is_drift_and_is_taken_back(estate: Estate, vm: str) -> None:
    before: Seen = estate.see(vm)
    estate.virsh(before.host, "domif-setlink", estate.uuid(vm), mac(estate, vm), "down")
    estate.report(vm, lambda seen: seen.nics[mac(estate, vm)][0] is False)
    # No event tells the agent of a cable: it is seen by the next collection of facts.
    drift = wait_for(lambda: estate.plan()[0].drift, "the drift to be seen")
    assert [one.object for one in drift] == [vm]
    assert "link" in drift[0].what
    apply(estate)
    estate.report(vm, lambda seen: seen.nics[mac(estate, vm)][0] is True)
    estate.assert_undisturbed(vm, before)
    estate.assert_settled()


def test_an_unplugged_disk_keeps_its_bytes(estate: Estate, vm: str) -> None:
    images = {path.parent.name for path in (estate.master / "images").glob("*/*.meta")}
    assert estate.uuid("disk/extra") in images
