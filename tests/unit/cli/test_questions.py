"""`ostler get` and `ostler explain`: answers for people and for programs, and what was meant by what is not there."""

import json

import pytest
import yaml

from reconciler.cli.output import round_bytes
from reconciler.desired.structure import declared_fields
from tests.unit.cli.conftest import Desk

GIB = 2**30


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_programs_get_camel_case_keys_numbers_and_bytes(applied: Desk, output: str) -> None:
    read = json.loads if output == "json" else yaml.safe_load
    (vm,) = read(applied("get", "vms", "-f", "-o", output).out)
    (host, _) = read(applied("get", "hosts", "-f", "-o", output).out)
    (domain,) = read(applied("get", "sd", "-f", "-o", output).out)
    (network, *_) = read(applied("get", "networks", "-f", "-o", output).out)

    assert (vm["vcpus"], vm["memoryBytes"], vm["runPolicy"], vm["run"]) == (1, GIB, "RestartOnFailure", 1)
    assert isinstance(host["memoryBytes"], int)
    assert isinstance(host["guests"], int)
    assert domain["hosts"] == {"present": 2, "declared": 2}
    assert network["mtu"] == 1500


def test_programs_get_null_for_what_is_not_known(desk: Desk) -> None:
    (vm,) = json.loads(desk("get", "vms", "-f", "-o", "json").out)

    assert (vm["host"], vm["run"]) == (None, None)
    assert " - " in desk("get", "vms", "-f").out


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (1000, "1000"),
        (512 * 2**20, "512Mi"),
        (1536 * 2**20, "1536Mi"),
        (24684096 * 1024, "23.5Gi"),
        (2**40 + 1, "1.0Ti"),
        (123456789, "117.7Mi"),
    ],
)
def test_sizes_are_rounded_for_people(number: int, shown: str) -> None:
    assert round_bytes(number) == shown


def test_get_without_manifests_or_of_an_unknown_kind_is_wrong_usage(desk: Desk) -> None:
    without = desk("get", "vms")
    bogus = desk("get", "vmz", "-f")

    assert (without.status, "-f PATH" in without.err) == (64, True)
    assert (bogus.status, "did you mean vms?" in bogus.err) == (64, True)
    assert desk("get", "bogus", "-f").status == 64


def test_get_of_a_name_that_is_not_there_offers_the_one_that_is(desk: Desk) -> None:
    result = desk("get", "vms", "wbe-1", "-f")

    assert (result.status, "did you mean vm/web-1?" in result.err) == (1, True)


@pytest.mark.parametrize("name", ["web-1", "vm/wbe-1"])
def test_what_is_not_there_cannot_be_explained_but_what_was_meant_is_offered(desk: Desk, name: str) -> None:
    result = desk("explain", name, "-f")

    assert (result.status, result.out) == (1, "")
    assert "did you mean vm/web-1?" in result.err


@pytest.mark.parametrize("name", ["vm/web-1", "host/h1", "vm/web-1#start", "cluster/main", "dc/farm"])
def test_every_object_and_step_is_explained_for_programs(desk: Desk, name: str) -> None:
    part = json.loads(desk("explain", name, "-f", "-o", "json").out)

    assert part["id"] == name
    assert (part["placement"] is not None) == (name == "vm/web-1")
    assert bool(part["steps"]) == (name != "cluster/main")


def test_hosts_of_evidence_are_named_as_people_know_them(applied: Desk) -> None:
    (applied.world.hosts[str(applied.where("vm/web-1"))]).lose_guest(
        applied.guest("vm/web-1").config.uuid, "crashed"
    )

    result = applied("explain", "vm/web-1", "-f")

    lines = [one for one in result.out.splitlines() if "evidence  hosts" in one]
    assert lines
    assert all("host/h1 answered" in line for line in lines)


@pytest.mark.parametrize("field", declared_fields())
def test_every_field_that_can_be_declared_is_explained(desk: Desk, field: str) -> None:
    result = desk("explain", "--field", field)

    assert result.status == 0
    assert len(result.out.splitlines()) > 1


def test_a_misspelt_field_is_told_with_the_one_that_was_meant(desk: Desk) -> None:
    result = desk("explain", "--field", "vm.memroy")

    assert (result.status, result.err) == (1, "no field vm.memroy; did you mean vm.memory?\n")
    assert desk("explain", "--field", "vm.memory.size").status == 1
    assert desk("explain", "--field", "nothing").status == 1


def test_a_list_of_a_named_host_shows_its_field(desk: Desk) -> None:
    assert desk("explain", "--field", "host.networks[net/vms].nic").status == 0


def test_vms_are_listed_as_they_are_with_what_is_to_be_done(applied: Desk) -> None:
    applied.change("web-1.yaml", "memory: 1Gi", "memory: 512Mi")
    (vm,) = json.loads(applied("get", "vms", "-f", "-o", "json").out)
    assert (vm["memoryBytes"], vm["notes"]) == (1 << 30, "to do: update-record, set-memory")

    assert applied("apply", "-f", "--yes").status == 0
    (vm,) = json.loads(applied("get", "vms", "-f", "-o", "json").out)
    assert (vm["memoryBytes"], vm["notes"]) == (512 << 20, "pending: vm.maxMemory")


def test_a_policy_is_tried_before_it_is_used(desk: Desk) -> None:
    desk.declare(
        "web-2.yaml",
        "apiVersion: ostler.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: web-2}\nspec: {cluster: main, memory: 512Mi}",
    )

    result = desk("explain", "cluster/main", "-f", "--policy", "power_saving")

    assert result.status == 0
    assert [line.split() for line in result.out.splitlines()][1:] == [["vm/web-2", "host/h2", "host/h1"]]
    found = json.loads(desk("explain", "cluster/main", "-f", "--policy", "power_saving", "-o", "json").out)
    assert found == [{"vm": "vm/web-2", "now": "host/h2", "then": "host/h1"}]
    assert "OptimalForMemoryPowerSaving" in desk("explain", "vm/web-2", "-f", "--policy", "power_saving").out


def test_a_policy_that_is_not_there_offers_what_was_meant(desk: Desk) -> None:
    result = desk("explain", "cluster/main", "-f", "--policy", "power_savings")

    assert result.status == 1
    assert "did you mean power_saving?" in result.err


def test_one_host_is_judged_and_its_refusal_is_an_exit_status(desk: Desk) -> None:
    assert desk("explain", "vm/web-1", "-f", "--on", "host/h1").status == 0
    desk.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  placement: {hosts: [h2]}\n")

    result = desk("explain", "vm/web-1", "-f", "--on", "h1")

    assert result.status == 3
    assert "dropped by PinToHost" in result.out
    assert desk("explain", "vm/web-1", "-f", "--on", "h9").status == 1
