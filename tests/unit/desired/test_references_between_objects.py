"""References: every one leads to an object that is declared, in the same data center, namespace and cluster."""

from pathlib import Path

from reconciler.desired.declarations import read_declarations
from reconciler.desired.read import read_paths
from reconciler.desired.references import list_raw_references
from reconciler.desired.suggestions import Suggestions
from reconciler.model.names import Kind
from reconciler.model.references import list_references

EXAMPLES = Path(__file__).parents[3] / "examples" / "manifests"
OTHER = """\
apiVersion: ostler.dev/v1alpha1
kind: DataCenter
metadata: {name: other}
spec: {uuid: 5b5c6a1e-7d3f-4c55-9e0a-3f1f6d2b8c47}
---
apiVersion: ostler.dev/v1alpha1
kind: Cluster
metadata: {name: remote}
spec: {dataCenter: other, networks: [far]}
---
apiVersion: ostler.dev/v1alpha1
kind: LogicalNetwork
metadata: {name: far}
spec: {dataCenter: other}
---
apiVersion: ostler.dev/v1alpha1
kind: StorageDomain
metadata: {name: away}
spec: {dataCenter: other, type: posixfs, path: /srv/away, vfsType: none}
---
apiVersion: ostler.dev/v1alpha1
kind: Disk
metadata: {name: away-root}
spec: {storageDomain: away, size: 1Gi}
---
apiVersion: ostler.dev/v1alpha1
kind: Host
metadata: {name: r1}
spec: {cluster: remote, address: 192.0.2.31}
"""


def test_dangling_references_name_the_near_miss(load_farm, thing):
    loaded = load_farm(
        thing(
            "VirtualMachine",
            "web-1",
            """
            cluster: mian
            memory: 1Gi
            disks: [{disk: web-1-rot}]
            nics: [{name: nic1, network: vmms}]
            placement: {hosts: [h7]}
            cdrom: {storageDomain: shred, file: a.iso}
            """,
        ),
        thing("Disk", "d", "storageDomain: quick\nsize: 1Gi"),
        thing("Host", "h2", "cluster: x\naddress: 192.0.2.12"),
        thing("LogicalNetwork", "lab", "dataCenter: fram"),
    )

    assert {(p.object, p.field, p.summary, p.detail) for p in loaded.problems} == {
        ("vm/web-1", "spec.cluster", "there is no Cluster mian", "did you mean main?"),
        ("vm/web-1", "spec.disks[0].disk", "there is no Disk web-1-rot", "did you mean web-1-root?"),
        ("vm/web-1", "spec.nics[0].network", "there is no LogicalNetwork vmms", "did you mean vms?"),
        (
            "vm/web-1",
            "spec.placement.hosts[0]",
            "there is no Host h7",
            "declare host/h7, or write one of h1, h2",
        ),
        ("vm/web-1", "spec.cdrom.storageDomain", "there is no StorageDomain shred", "did you mean shared?"),
        (
            "disk/d",
            "spec.storageDomain",
            "there is no StorageDomain quick",
            "declare sd/quick, or write one of shared",
        ),
        ("host/h2", "spec.cluster", "there is no Cluster x", "declare cluster/x, or write one of main"),
        ("net/lab", "spec.dataCenter", "there is no DataCenter fram", "did you mean farm?"),
    }


def test_a_reference_is_placed_at_its_value(load_farm, thing):
    loaded = load_farm(thing("Disk", "d", "storageDomain: sharde\nsize: 1Gi"))

    assert loaded.said[0].split(":")[1].startswith("18 disk/d")


def test_a_malformed_object_is_no_dangling_reference_of_others(load_farm, vm, thing):
    loaded = load_farm(
        thing("Disk", "broken", "storageDomain: shared\nsize: big"),
        vm("disks: [{disk: broken}]"),
    )

    assert [p.object for p in loaded.problems] == ["disk/broken"]


def test_a_malformed_cluster_hides_nothing_of_its_vms_and_hosts(load, thing):
    loaded = load(
        thing("DataCenter", "farm", "uuid: 0b5c6a1e-7d3f-4c55-9e0a-3f1f6d2b8c47"),
        thing("Cluster", "main", "dataCenter: farm\nnetworks: vms"),
        thing("Host", "h1", "cluster: main\naddress: 192.0.2.300"),
        thing("VirtualMachine", "web-1", "cluster: main\nmemory: 1Gi\ntpm: true"),
    )

    assert [p.object for p in loaded.problems] == ["cluster/main", "host/h1", "vm/web-1"]
    assert loaded.farm.vms == {}


def test_disks_are_those_of_the_vms_namespace(load_farm, vm):
    loaded = load_farm(vm("disks: [{disk: web-1-root}]", metadata="namespace: team-a"))

    (problem,) = loaded.problems
    assert problem.object == "vm/team-a/web-1"
    assert problem.summary == "there is no Disk web-1-root"
    assert problem.detail == "disk/web-1-root lies in namespace default; declare both in one namespace"


def test_data_centers_share_nothing(load_farm, vm, thing):
    loaded = load_farm(
        OTHER,
        vm("disks: [{disk: away-root}]\ncdrom: {storageDomain: away, file: a.iso}"),
        thing("Cluster", "second", "dataCenter: farm\nnetworks: [far]"),
        thing("StorageDomain", "local", "dataCenter: farm\ntype: localfs\npath: /srv/l\nhost: r1"),
    )

    assert {(p.object, p.field, p.summary) for p in loaded.problems} == {
        ("vm/web-1", "spec.disks[0].disk", "disk/away-root belongs to dc/other, this object to dc/farm"),
        ("vm/web-1", "spec.cdrom.storageDomain", "sd/away belongs to dc/other, this object to dc/farm"),
        ("cluster/second", "spec.networks[0]", "net/far belongs to dc/other, this object to dc/farm"),
        ("sd/local", "spec.host", "host/r1 belongs to dc/other, this object to dc/farm"),
    }


def test_networks_are_those_of_the_cluster(load_farm, vm, thing):
    loaded = load_farm(
        thing("LogicalNetwork", "lab", "dataCenter: farm"),
        vm("nics: [{name: nic1, network: lab}]"),
        thing("Host", "h2", "cluster: main\naddress: 192.0.2.12\nnetworks: [{network: lab, nic: eth1}]"),
    )

    assert [(p.object, p.field, p.summary) for p in loaded.problems] == [
        ("vm/web-1", "spec.nics[0].network", "cluster/main does not have network lab"),
        ("host/h2", "spec.networks[0].network", "cluster/main does not have network lab"),
    ]
    assert loaded.problems[0].detail == "add it to spec.networks of cluster/main, or use one that is there"


def test_pinned_hosts_are_those_of_the_cluster(load_farm, vm, thing):
    loaded = load_farm(
        thing("Cluster", "second", "dataCenter: farm"),
        thing("Host", "h2", "cluster: second\naddress: 192.0.2.12"),
        vm("placement: {hosts: [h1, h2, h1]}"),
    )

    assert [(p.field, p.summary) for p in loaded.problems] == [
        ("spec.placement.hosts[1]", "host/h2 belongs to cluster/second, this VM to cluster/main"),
        ("spec.placement.hosts[2]", "h1 is named twice"),
    ]


def local(host, name="local"):
    return f"""\
apiVersion: ostler.dev/v1alpha1
kind: StorageDomain
metadata: {{name: {name}}}
spec: {{dataCenter: farm, type: localfs, path: /srv/local, host: {host}}}
---
apiVersion: ostler.dev/v1alpha1
kind: Disk
metadata: {{name: {name}-disk}}
spec: {{storageDomain: {name}, size: 1Gi}}
"""


def test_a_vm_with_a_local_disk_runs_on_that_host_only(load_farm, vm, thing):
    second = thing("Host", "h2", "cluster: main\naddress: 192.0.2.12")
    pinned = vm("disks: [{disk: local-disk}]\nplacement: {hosts: [h2]}")

    (problem,) = load_farm(second, local("h1"), pinned).problems

    assert problem.field == "spec.disks[0].disk"
    assert problem.summary == "the disk lies on host/h1 alone (sd/local), where this VM may not run"
    assert problem.detail == "add h1 to placement.hosts"


def test_a_vm_with_a_local_disk_may_be_pinned_there_or_not_at_all(load_farm, vm):
    assert load_farm(local("h1"), vm("disks: [{disk: local-disk}]")).problems == ()
    assert load_farm(local("h1"), vm("disks: [{disk: local-disk}]\nplacement: {hosts: [h1]}")).problems == ()


def test_local_disks_of_two_hosts_leave_a_vm_nowhere(load_farm, vm, thing):
    loaded = load_farm(
        thing("Host", "h2", "cluster: main\naddress: 192.0.2.12"),
        local("h1", "one"),
        local("h2", "two"),
        vm("disks: [{disk: one-disk}, {disk: two-disk}]"),
    )

    assert loaded.summaries == ["the disk lies on host/h2 alone (sd/two), another disk on host/h1 alone"]


def test_a_local_disk_of_another_cluster_is_out_of_reach(load_farm, vm, thing):
    loaded = load_farm(
        thing("Cluster", "second", "dataCenter: farm"),
        thing("Host", "h2", "cluster: second\naddress: 192.0.2.12"),
        local("h2"),
        vm("disks: [{disk: local-disk}]"),
    )

    assert loaded.summaries == ["the disk lies on host/h2 alone (sd/local), which is not of cluster/main"]


def test_renames_in_a_circle_are_told_once(load_farm, vm):
    loaded = load_farm(
        vm(name="a", metadata="annotations: {ostler.dev/renamed-from: vm/b}"),
        vm(name="b", metadata="annotations: {ostler.dev/renamed-from: vm/c}"),
        vm(name="c", metadata="annotations: {ostler.dev/renamed-from: vm/a}"),
    )

    assert loaded.summaries == ["these renames go in a circle: vm/a from vm/b from vm/c from vm/a"]


def test_a_rename_needs_the_old_object_gone(load_farm, vm):
    loaded = load_farm(
        vm(name="new", metadata="annotations: {ostler.dev/renamed-from: vm/old}"), vm(name="old")
    )

    (problem,) = loaded.problems
    assert (problem.object, problem.summary) == ("vm/new", "vm/old is still declared")
    assert problem.detail.startswith("remove its manifest, or this annotation; the other is at -:")


def test_a_rename_is_of_one_kind_and_of_another_object(load_farm, vm):
    loaded = load_farm(
        vm(name="a", metadata="annotations: {ostler.dev/renamed-from: disk/old}"),
        vm(name="b", metadata="annotations: {ostler.dev/renamed-from: vm/b}"),
        vm(name="c", metadata="annotations: {ostler.dev/renamed-from: old}"),
    )

    assert loaded.summaries == [
        "disk/old is no VirtualMachine",
        "this is the object's own id",
        "'old' is not an object id",
    ]


def test_only_what_has_a_record_goes_on_under_a_new_name(load_farm, thing):
    loaded = load_farm(
        thing("LogicalNetwork", "lab", "dataCenter: farm", "annotations: {ostler.dev/renamed-from: net/old}")
    )

    assert loaded.summaries == ["a LogicalNetwork has no record to go on with"]


def test_two_objects_cannot_go_on_as_one(load_farm, vm):
    loaded = load_farm(
        vm(name="a", metadata="annotations: {ostler.dev/renamed-from: vm/old}"),
        vm(name="b", metadata="annotations: {ostler.dev/renamed-from: vm/old}"),
    )

    assert loaded.summaries == ["vm/a was renamed from vm/old as well"]


def test_consent_is_for_vms_and_disks_and_names_their_uuid(load_farm, vm, thing):
    uuid = "90c4e7d2-1b6f-4a38-bd05-6e2f83a9c741"
    loaded = load_farm(
        vm(name="good", metadata=f'annotations: {{ostler.dev/allow-destroy: "{uuid.upper()}"}}'),
        vm(
            "uuid: 4be61f08-c2d9-4735-9a8e-0d57f3b8e216",
            metadata=f'annotations: {{ostler.dev/allow-destroy: "{uuid}"}}',
        ),
        thing(
            "LogicalNetwork",
            "lab",
            "dataCenter: farm",
            f'annotations: {{ostler.dev/allow-destroy: "{uuid}"}}',
        ),
    )

    assert loaded.summaries == [
        "the consent names another uuid than spec.uuid",
        "a LogicalNetwork needs no consent to be removed",
    ]
    assert loaded.farm.vms["vm/good"].meta.allow_destroy == uuid


def test_ten_thousand_dangling_references_take_no_minutes(load_farm):
    documents = "---\n".join(
        "apiVersion: ostler.dev/v1alpha1\nkind: VirtualMachine\n"
        f"metadata: {{name: vm-{n}}}\nspec: {{cluster: main, memory: 1Gi, disks: [{{disk: gone-{n}}}]}}\n"
        for n in range(10_000)
    )

    loaded = load_farm(documents)

    assert len(loaded.problems) == 10_000


def test_a_malformed_object_still_has_its_references_checked(load_farm, thing):
    loaded = load_farm(
        thing("VirtualMachine", "web-1", "cluster: mian\nmemroy: 1Gi\nnics: [{name: nic1, network: vmms}]")
    )

    assert [problem.field for problem in loaded.problems] == [
        "spec.cluster",
        "spec.memroy",
        "spec.nics[0].network",
    ]


def test_references_are_the_same_read_raw_or_from_the_object():
    """One table names the fields of malformed manifests, code those of others."""
    documents = read_paths([str(EXAMPLES)], None).documents
    found = read_declarations(documents, Suggestions()).by_id.values()
    assert {one.kind for one in found} == set(Kind)
    for one in found:
        assert one.declared is not None
        typed = list_references(one.declared, one.belongs_to)
        raw = list_raw_references(one.kind, one.raw, one.namespace)
        assert sorted(typed, key=str) == sorted(raw, key=str), one.id
