"""`ostler host confirm-off`: which hosts it takes a person's word for, and what the word covers."""

import re
from dataclasses import replace

import pytest

from tests.unit.cli.conftest import Desk


def confirm(desk: Desk, host: str) -> int:
    return desk("host", "confirm-off", host, "-f", "--yes", "--reference", "I stood before it").status


def test_the_vms_of_a_silent_host_start_elsewhere_once_a_person_says_that_it_is_off(applied: Desk) -> None:
    before = str(applied.where("vm/web-1"))
    applied.world.power_off(before)
    assert applied("apply", "-f", "--yes").status == 3

    assert confirm(applied, before) == 0

    assert applied("apply", "-f", "--yes").status == 3
    assert applied.where("vm/web-1") not in (None, before)


@pytest.mark.parametrize("how", ["answers", "refuses"])
def test_nobodys_word_is_taken_for_a_host_that_is_alive(applied: Desk, how: str) -> None:
    host = str(applied.where("vm/web-1"))
    if how == "refuses":
        applied.faults.refuses[host] = "certificate expired"

    assert confirm(applied, host) == 5

    applied.faults.refuses.clear()
    applied.world.hosts[host].reachable = False
    assert "it is not known whether it runs" in applied("plan", "-f").out


def test_a_word_counts_no_more_once_the_host_has_run_a_vm_unseen(applied: Desk) -> None:
    host = str(applied.where("vm/web-1"))
    applied.world.power_off(host)
    assert confirm(applied, host) == 0
    applied.world.power_on(host)
    (applied.home / "store.sqlite").rename(applied.home / "one.sqlite")
    applied.change("web-1.yaml", "  memory: 1Gi\n", f"  memory: 1Gi\n  placement: {{hosts: [{host[5:]}]}}\n")
    assert applied("apply", "-f", "--yes").status == 0
    applied.world.hosts[host].reachable = False
    for file in applied.home.glob("store.sqlite*"):
        file.unlink()
    (applied.home / "one.sqlite").rename(applied.home / "store.sqlite")

    planned = applied("plan", "-f")

    assert planned.status == 3
    assert "it is not known whether it runs" in planned.out
    assert confirm(applied, host) == 0
    assert "start" in applied("plan", "-f").out


def test_what_a_plan_says_of_a_host_without_manifest_can_be_typed_as_it_stands(applied: Desk) -> None:
    gone = str(applied.where("vm/web-1"))
    uuid = applied.world.hosts[gone].uuid
    applied.world.power_off(gone)
    (applied.manifests / f"{gone[5:]}.yaml").unlink()
    planned = applied("plan", "-f")
    (command,) = set(re.findall(r"`ostler (host confirm-off [^`]*)`", planned.out))
    assert command == f"host confirm-off host/{uuid}"

    assert applied(*command.split(), "-f", "--yes").status == 0

    applied("apply", "-f", "--yes")
    assert applied.where("vm/web-1") is not None


def test_a_host_that_only_a_record_names_can_be_confirmed_off(applied: Desk) -> None:
    gone = str(applied.where("vm/web-1"))
    uuid = applied.world.hosts[gone].uuid
    for domain in applied.world.storage.values():
        assert domain.pool is not None
        left = {one: number for one, number in domain.pool.host_ids.items() if one != uuid}
        domain.pool = replace(domain.pool, host_ids=left)
    applied.world.power_off(gone)
    (applied.manifests / f"{gone[5:]}.yaml").unlink()

    assert confirm(applied, uuid) == 0
    assert "start" in applied("plan", "-f").out


@pytest.mark.parametrize("name", ["h9", "host/h9", "4dad48a1-6354-5eb4-bf59-a0354bc45569", ""])
def test_a_host_that_nothing_knows_cannot_be_confirmed_off(applied: Desk, name: str) -> None:
    result = applied("host", "confirm-off", name, "-f", "--yes")

    assert result.status == 1
    assert "host/h1, host/h2" in result.err


def test_it_is_told_what_a_word_cannot_cover_while_records_cannot_be_read(applied: Desk) -> None:
    for host in applied.world.hosts:
        applied.world.power_off(host)

    result = applied("host", "confirm-off", "host/h1", "-f", "--yes")

    assert result.status == 0
    assert "the records of 1 storage domain(s) could not be read" in result.err
