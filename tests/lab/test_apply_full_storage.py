"""A real guest whose storage is full stands still; plans tell of it, and its agent lets it go on once there is space."""

import pytest

from reconciler.lab.inside import run_in
from tests.lab.apply_estate import Estate, wait_for

PLACE = "/srv/small"
FILLER = f"{PLACE}/filler"


def inside(estate: Estate, script: str) -> None:
    """A shell script on h1; it must succeed."""
    done = run_in(estate.lab, "h1", ["sh", "-euc", script])
    assert done.returncode == 0, done.stderr


def state_of(estate: Estate, vm: str) -> str:
    """What libvirt says, with the reason."""
    return estate.virsh("h1", "domstate", "--reason", estate.uuid(vm)).strip()


@pytest.fixture
def vm(estate: Estate) -> str:
    """A guest that writes a disk on a domain of 192 MiB every second."""
    inside(estate, f"mkdir -p {PLACE} && mount -t tmpfs -o size=192m tmpfs {PLACE}")
    estate.declare(
        "StorageDomain", "small", dataCenter="e2e", type="localfs", host="h1", path=PLACE, criticalSpace="1Mi"
    )
    estate.declare("Disk", "small-root", storageDomain="small", size="64Mi", format="raw")
    disks = [{"disk": "small-root"}]
    vm = estate.declare_vm("small", disk=None, cmdline="ostler.heartbeat=vda", disks=disks)
    estate.apply()
    return vm


def fill_storage(estate: Estate, vm: str) -> None:
    """What the guest has written so far gives its space back, and somebody else takes all there is."""
    uuid = estate.uuid(vm)
    estate.virsh("h1", "suspend", uuid)
    source = estate.virsh("h1", "domblklist", uuid).split()[-1]
    inside(
        estate,
        f"fallocate --punch-hole --length 64MiB {source}; cat /dev/zero > {FILLER} || test -s {FILLER}",
    )
    estate.virsh("h1", "resume", uuid)


def test_a_guest_without_space_halts_is_told_of_and_goes_on_with_nothing_lost(
    estate: Estate, vm: str
) -> None:
    before = estate.see(vm)
    fill_storage(estate, vm)

    wait_for(lambda: "I/O error" in state_of(estate, vm), "the guest to find no space")
    alerts = wait_for(
        lambda: [one for one in estate.plan()[0].alerts if one.object == vm], "the alert about the guest"
    )
    assert "host/h1" in alerts[0].what
    assert "sd/small" in alerts[0].action
    wait_for(lambda: "its storage is full" in estate.agent_log("h1"), "the agent to find no space")
    assert "paused" in state_of(estate, vm)

    inside(estate, f"rm {FILLER}")

    wait_for(lambda: "running" in state_of(estate, vm), "the guest to go on")
    report = estate.report(vm)
    assert report.boot == before.boot
    assert report.heartbeat is not None
    assert report.heartbeat.errors == 0
    wait_for(lambda: not [one for one in estate.plan()[0].alerts if one.object == vm], "the alert to end")
