"""`spec.name`: it is listed, and names its object where that is clear."""

import json

import pytest

from tests.unit.cli.conftest import Desk

NAMED = "metadata: {name: web-1}\nspec:\n  name: Webserver-Köln"
OTHER = """apiVersion: ostler.dev/v1alpha1
kind: VirtualMachine
metadata: {{name: {metadata}}}
spec: {{cluster: main, memory: 512Mi, name: {shown}, runPolicy: Manual}}
"""


@pytest.fixture
def named(desk: Desk) -> Desk:
    """The one VM has a name for people."""
    desk.change("web-1.yaml", "metadata: {name: web-1}\nspec:\n  cluster", f"{NAMED}\n  cluster")
    return desk


def test_the_name_is_in_wide_tables_and_for_programs(named: Desk) -> None:
    (vm,) = json.loads(named("get", "vms", "-f", "-o", "json").out)

    assert (vm["vm"], vm["name"]) == ("vm/web-1", "Webserver-Köln")
    assert "Webserver-Köln" in named("get", "vms", "-f", "-o", "wide").out
    assert "Webserver" not in named("get", "vms", "-f").out


@pytest.mark.parametrize("kind", ["hosts", "disks", "networks", "sd", "clusters", "datacenters"])
def test_every_kind_tells_its_names(desk: Desk, kind: str) -> None:
    assert all(row["name"] for row in json.loads(desk("get", kind, "-f", "-o", "json").out))


@pytest.mark.parametrize("name", ["Webserver-Köln", "vm/Webserver-Köln", "web-1", "vm/web-1"])
def test_an_object_is_listed_by_any_of_its_names(named: Desk, name: str) -> None:
    assert named("get", "vms", name, "-f", "-o", "name").out == "vm/web-1\n"


@pytest.mark.parametrize("name", ["Webserver-Köln", "vm/Webserver-Köln"])
def test_it_is_explained_and_ordered_by_that_name(named: Desk, name: str) -> None:
    assert json.loads(named("explain", name, "-f", "-o", "json").out)["id"] == "vm/web-1"
    named("apply", "-f", "--yes")

    assert named("vm", "stop", name, "-f", "--yes").status == 0
    assert named.where("vm/web-1") is None


def test_a_name_that_two_may_mean_is_refused_and_an_id_is_not(named: Desk) -> None:
    named.declare("other.yaml", OTHER.format(metadata="db-1", shown="web-1"))

    unclear = named("get", "vms", "web-1", "-f")

    assert (unclear.status, unclear.err) == (1, "web-1 may be vm/db-1 or vm/web-1; give the id\n")
    assert named("get", "vms", "vm/web-1", "-f", "-o", "name").out == "vm/web-1\n"


def test_hosts_and_data_centers_go_by_their_names_too(desk: Desk) -> None:
    desk.change("h2.yaml", "spec: {", 'spec: {name: "Rack_2", ')

    assert desk("get", "hosts", "Rack_2", "-f", "-o", "name").out == "host/h2\n"
    refused = desk("host", "confirm-off", "Rack_2", "-f", "--yes")
    assert (refused.status, refused.err) == (5, "host/h2 answers: it is not off\n")
    assert desk("plan", "-f", "--data-center", "Farm").status == 1
    desk.change("center.yaml", "spec: {", "spec: {name: Farm, ")
    assert desk("plan", "-f", "--data-center", "Farm").status == 2


def test_a_name_in_another_namespace_will_do_while_it_is_clear(desk: Desk) -> None:
    desk.declare("a.yaml", OTHER.format(metadata="db, namespace: team-a", shown="one"))

    assert desk("get", "vms", "db", "-f", "-o", "name").out == "vm/team-a/db\n"
    desk("apply", "-f", "--yes")
    assert "vm/team-a/db runs" in desk("vm", "start", "db", "-f", "--yes").err
    assert desk("get", "vms", "vm/db", "-f").status == 1

    desk.declare("b.yaml", OTHER.format(metadata="db, namespace: team-b", shown="two"))
    unclear = desk("vm", "stop", "db", "-f", "--yes")
    assert (unclear.status, unclear.err) == (1, "db may be vm/team-a/db or vm/team-b/db; give the id\n")

    desk.declare("c.yaml", OTHER.format(metadata="db, namespace: default", shown="three"))
    assert desk("get", "vms", "db", "-f", "-o", "name").out == "vm/db\n"
