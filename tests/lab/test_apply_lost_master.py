"""The storage with the records is lost while guests run; a person restores it as docs/lost-master.md says."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeagent.formats.poolrecord import read_pool_record
from reconciler.model.identity import storage_uuid
from tests.lab.apply_estate import DATA_CENTER, Estate, wait_for

PAGE = Path(__file__).parents[2] / "docs" / "lost-master.md"
ID, SECOND = storage_uuid(DATA_CENTER, "sd/shared"), storage_uuid(DATA_CENTER, "sd/second")


@pytest.fixture
def estate(data_center: Estate) -> Estate:
    """Two storage domains; a VM with its disk on the second, so with a copy of its record, and one without disks."""
    estate = data_center
    (estate.lab.shared / "second").mkdir()
    estate.declare(
        "StorageDomain", "second", dataCenter="e2e", type="posixfs", path="/srv/ostler/shared/second",
        vfsType="none", mountOptions="bind", criticalSpace="1Mi",
    )  # fmt: skip
    estate.declare("Disk", "kept-root", storageDomain="second", size="64Mi")
    estate.declare_vm("kept", disk=None, disks=[{"disk": "kept-root"}])
    estate.declare_vm("bare", disk=None)
    estate.apply()
    return estate


def plans(estate: Estate, accept: Callable[[str], bool]) -> str:
    """The first plan that is as wanted, as shown."""

    def look() -> str | None:
        shown = estate.plan()[1].out
        return shown if accept(shown) else None

    return wait_for(look, "the plan")


def restore(estate: Estate) -> None:
    """The commands of the page, word by word."""
    (script,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    places = {"NEW": str(estate.lab.shared), "ID": ID, "COPY": str(estate.lab.shared / "second" / SECOND)}
    subprocess.run(["sh", "-euc", script], env={"PATH": "/usr/bin:/bin", **places}, check=True)


def test_a_lost_master_is_restored_from_copies_and_guests_do_not_notice(estate: Estate) -> None:
    before = {vm: estate.see(vm) for vm in ("vm/kept", "vm/bare")}
    pool, run = read_pool_record(estate.master), estate.record("vm/kept").run
    assert pool is not None
    shutil.rmtree(estate.master)

    lost = plans(estate, lambda shown: "out of reach" in shown or "could not be read" in shown)
    assert "steps:" not in lost

    restore(estate)
    shutil.move(estate.master / "master/vms", estate.directory / "aside")
    (estate.master / "master/vms").mkdir()
    empty = plans(estate, lambda shown: "docs/lost-master.md" in shown)
    assert "steps:" not in empty

    shutil.rmtree(estate.master)
    restore(estate)
    shown = plans(estate, lambda shown: "steps:" in shown)
    assert "vm/bare#adopt" in shown
    assert "vm/kept#" not in shown
    estate.apply_until_settled()

    after = read_pool_record(estate.master)
    assert after is not None
    assert after.host_ids == pool.host_ids
    assert estate.record("vm/kept").run == run
    for vm, seen in before.items():
        estate.assert_undisturbed(vm, seen)
    estate.assert_settled()
