"""What only one object may have: of two that claim it the second is told, with the place of the first."""

import pytest

UUID = "90c4e7d2-1b6f-4a38-bd05-6e2f83a9c741"


def test_two_objects_with_one_name_name_both_places(load_farm, vm):
    loaded = load_farm(vm(), vm("priority: 1"))

    (problem,) = loaded.problems
    assert problem.summary == "vm/web-1 is declared twice"
    assert problem.detail == "rename or remove one; the other is at -:36:9"
    assert (problem.where.line, problem.where.column) == (45, 9)
    assert loaded.farm.vms["vm/web-1"].priority == 50


def test_one_name_in_two_namespaces_is_two_objects(load_farm, vm):
    loaded = load_farm(vm(), vm(metadata="namespace: team-a"))

    assert loaded.problems == ()
    assert list(loaded.farm.vms) == ["vm/team-a/web-1", "vm/web-1"]


def test_a_spec_name_is_unique_in_the_data_center(load_farm, vm):
    loaded = load_farm(vm("name: Same", name="a"), vm("name: Same", name="b"))

    (problem,) = loaded.problems
    assert (problem.object, problem.field) == ("vm/b", "spec.name")
    assert problem.summary == "vm/a has the same name in this data center"


def test_a_spec_name_is_not_the_name_of_another_vm(load_farm, vm):
    loaded = load_farm(vm("name: b", name="a"), vm(name="b"))

    (problem,) = loaded.problems
    assert (problem.object, problem.field) == ("vm/a", "spec.name")


def test_a_spec_name_may_be_that_of_another_kind(load_farm, vm, thing):
    assert (
        load_farm(
            vm("name: same"), thing("Disk", "d", "name: same\nstorageDomain: shared\nsize: 1Gi")
        ).problems
        == ()
    )


def test_every_object_has_its_own_uuid_whatever_its_kind(load_farm, vm, thing):
    loaded = load_farm(
        vm(f"uuid: {UUID}"), thing("Disk", "d", f"uuid: {UUID.upper()}\nstorageDomain: shared\nsize: 1Gi")
    )

    assert loaded.summaries == ["disk/d has the same uuid"]


def test_a_uuid_of_zeros_is_nobodys(load_farm, vm):
    assert load_farm(vm("uuid: 00000000-0000-0000-0000-000000000000")).summaries == [
        "this uuid names nothing"
    ]


def test_macs_clash_however_they_are_written(load_farm, vm):
    loaded = load_farm(
        vm("nics: [{name: n, network: vms, mac: '52:54:00:AB:00:01'}]", name="a"),
        vm("nics: [{name: n, network: vms}, {name: m, network: vms, mac: '52:54:00:ab:00:01'}]", name="b"),
    )

    (problem,) = loaded.problems
    assert (problem.object, problem.field) == ("vm/b", "spec.nics[1].mac")
    assert problem.summary == "vm/a has the same MAC address"


def test_a_disk_belongs_to_one_vm(load_farm, vm):
    loaded = load_farm(
        vm("disks: [{disk: web-1-root}]", name="a"), vm("disks: [{disk: web-1-root}]", name="b")
    )

    (problem,) = loaded.problems
    assert (problem.object, problem.field) == ("vm/b", "spec.disks[0].disk")
    assert problem.summary == "vm/a attaches the same disk"


def test_two_networks_need_two_bridges(load_farm, thing):
    loaded = load_farm(thing("LogicalNetwork", "lab", "dataCenter: farm\nbridge: vms"))

    assert loaded.summaries == ["net/lab has the same bridge"]


def test_two_hosts_need_two_agents(load_farm, thing):
    same = thing("Host", "h2", "cluster: main\naddress: 192.0.2.11")
    other = thing("Host", "h3", "cluster: main\naddress: 192.0.2.11\nport: 54331")

    assert load_farm(same, other).summaries == ["host/h1 has the same address and port"]


def test_two_storage_domains_in_one_place_would_overwrite_each_other(load_farm, thing):
    loaded = load_farm(
        thing("StorageDomain", "again", "dataCenter: farm\ntype: posixfs\npath: /srv/shared\nvfsType: none"),
        thing("StorageDomain", "local", "dataCenter: farm\ntype: localfs\npath: /srv/shared\nhost: h1"),
    )

    assert loaded.summaries == ["sd/again is the same place"]


def test_a_nic_is_not_a_bridge(load_farm, thing):
    host = thing("Host", "h2", "cluster: main\naddress: 192.0.2.12\nnetworks: [{network: vms, nic: vms}]")

    assert load_farm(host).summaries == ["vms is the bridge of net/vms, not a NIC"]


@pytest.mark.parametrize("count", [250, 251])
def test_a_data_center_takes_250_hosts(load_farm, thing, count):
    hosts = [thing("Host", f"x{n}", f"cluster: main\naddress: 10.0.0.{n}") for n in range(1, count)]

    assert load_farm(*hosts).summaries == (
        ["251 hosts are declared in this data center, which takes 250"] if count > 250 else []
    )


def test_two_lists_that_clash_in_everything_take_no_minutes(load_farm):
    item = (
        "- apiVersion: ostler.dev/v1alpha1\n  kind: VirtualMachine\n"
        "  metadata: {name: vm-%d}\n  spec: {cluster: main, memory: 1Gi}\n"
    )
    whole = "apiVersion: v1\nkind: List\nitems:\n" + "".join(item % n for n in range(3_000))

    loaded = load_farm(whole, whole)

    assert len(loaded.problems) == 3_000
    assert loaded.problems[-1].detail.endswith("the other is at -:12034:20")
