"""Limits and fields that go together: what can be true of no host is refused before anything is planned."""

import pytest

from nodeagent.wire.arguments import StorageConnection
from nodeagent.wire.codec import decode_strict, encode


def told(loaded):
    return [(p.field, p.summary, p.detail) for p in loaded.problems]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "memory: 1Gi\nmaxMemory: 512Mi",
            ("spec.maxMemory", "maxMemory 512Mi is below memory 1Gi", "write 1Gi or more, or remove it"),
        ),
        (
            "memory: 1Gi\nguaranteedMemory: 2Gi",
            (
                "spec.guaranteedMemory",
                "guaranteedMemory 2Gi is above memory 1Gi",
                "write at most 1Gi, or remove it",
            ),
        ),
        (
            "memory: 65Ti",
            ("spec.memory", "no VM can have so much memory", "the most is 64Ti"),
        ),
        (
            "memory: 1Gi\nmaxMemory: 65Ti",
            ("spec.maxMemory", "no VM can have so much memory", "the most is 64Ti"),
        ),
        ("memory: 0", ("spec.memory", "a VM needs memory", "write such as 256Mi")),
        (
            "memory: 1Gi\nmaxMemory: 2Gi\nballoon: false",
            (
                "spec.maxMemory",
                "without a balloon memory cannot change while the VM runs",
                "set balloon to true, or remove maxMemory",
            ),
        ),
        (
            "cpu: {sockets: 4, maxSockets: 2}",
            ("spec.cpu.maxSockets", "maxSockets 2 is below sockets 4", "write 4 or more, or remove it"),
        ),
        (
            "cpu: {sockets: 32, cores: 8}",
            (
                "spec.cpu",
                "256 vCPUs are more than a VM can have",
                "sockets × cores × threads is 32 × 8 × 1; the most is 255",
            ),
        ),
        (
            "cpu: {cores: 8, maxSockets: 32}",
            (
                "spec.cpu.maxSockets",
                "256 vCPUs are more than a VM can have",
                "sockets × cores × threads is 32 × 8 × 1; the most is 255",
            ),
        ),
        (
            "machineType: pc\ncpu: {sockets: 17, cores: 9}",
            (
                "spec.cpu",
                "an i440fx machine cannot number the CPUs of this topology",
                "use fewer sockets, cores or threads, powers of two best, or machineType q35",
            ),
        ),
        (
            "machineType: pc\ncpu: {sockets: 241}",
            (
                "spec.cpu",
                "241 vCPUs are more than a VM can have",
                "sockets × cores × threads is 241 × 1 × 1; the most is 240",
            ),
        ),
        ("tpm: true", ("spec.tpm", "a TPM needs uefi", "write firmware: uefi, or remove tpm")),
        (
            "firmware: uefi\nmachineType: pc-i440fx-7.2",
            ("spec.firmware", "uefi needs a q35 machine", "remove machineType, or write q35"),
        ),
        (
            "cdrom: {file: a.iso}",
            (
                "spec.cdrom",
                "the CD drive has file without storageDomain",
                "add storageDomain, or remove file for an empty drive",
            ),
        ),
        (
            "disks: [{disk: web-1-root, bus: ide}]",
            (
                "spec.disks[0].bus",
                "a q35 machine has no IDE bus",
                "use bus sata or virtio, or machineType pc",
            ),
        ),
        (
            "disks: [{disk: web-1-root, bus: sata, readOnly: true}]",
            ("spec.disks[0].readOnly", "a disk on bus sata cannot be read-only", "use bus virtio or scsi"),
        ),
        (
            "disks: [{disk: web-1-root}, {disk: web-1-root}]",
            ("spec.disks[1].disk", "disk/web-1-root is attached twice", "remove one of the two"),
        ),
        (
            "nics: [{name: a, network: vms}, {name: a, network: vms}]",
            ("spec.nics[1].name", "two network cards are named a", "give each card a name of its own"),
        ),
    ],
)
def test_a_vm_that_no_host_could_run_is_refused(load_farm, vm, lines, expected):
    assert told(load_farm(vm(lines))) == [expected]


@pytest.mark.parametrize(
    "lines",
    [
        "memory: 64Ti",
        "memory: 1Gi\nmaxMemory: 2Gi\nguaranteedMemory: 512Mi",
        "memory: 1Gi\nmaxMemory: 1Gi\nballoon: false",
        "cpu: {sockets: 255}",
        "cpu: {sockets: 2, maxSockets: 127, threads: 2}",
        "machineType: pc\ncpu: {sockets: 15, cores: 16}",
        "machineType: pc\nfirmware: bios\ndisks: [{disk: web-1-root, bus: ide}]",
        "firmware: uefi\ntpm: true\nmachineType: pc-q35-7.2",
        "cdrom: {}",
        "vnc: {}",
        "priority: 0",
        "priority: 100",
        "shutdownTimeout: 0s",
        "disks: [{disk: web-1-root, readOnly: true, bus: scsi, bootOrder: 1}]",
    ],
)
def test_a_vm_at_its_limits_is_taken(load_farm, vm, lines):
    assert told(load_farm(vm(lines))) == []


def disks(thing, count, **fields):
    extra = "".join(f", {key}: {value}" for key, value in fields.items())
    declared = [thing("Disk", f"d{n}", "storageDomain: shared\nsize: 1Gi") for n in range(count)]
    return declared, "disks:\n" + "\n".join(f"- {{disk: d{n}{extra}}}" for n in range(count))


@pytest.mark.parametrize(("bus", "most"), [("ide", 3), ("sata", 5)])
def test_buses_take_so_many_disks(load_farm, vm, thing, bus, most):
    declared, attached = disks(thing, most, bus=bus)
    assert told(load_farm(*declared, vm(f"machineType: pc\n{attached}"))) == []

    declared, attached = disks(thing, most + 1, bus=bus)
    assert told(load_farm(*declared, vm(f"machineType: pc\n{attached}"))) == [
        (
            "spec.disks",
            f"{most + 1} disks on bus {bus}, which takes {most}",
            "use bus virtio or scsi for the others",
        )
    ]


def test_each_disk_has_its_own_boot_order(load_farm, vm, thing):
    declared, attached = disks(thing, 2, bootOrder=1)

    assert told(load_farm(*declared, vm(attached))) == [
        ("spec.disks[1].bootOrder", "disk/d0 has bootOrder 1 as well", "give each disk its own")
    ]


def test_the_machine_type_of_the_cluster_counts_where_a_vm_has_none(load_farm, thing):
    loaded = load_farm(
        thing("Cluster", "old", "dataCenter: farm\nmachineType: pc-i440fx-7.2"),
        thing("VirtualMachine", "a", "cluster: old\nmemory: 1Gi\ndisks: [{disk: web-1-root, bus: ide}]"),
        thing("VirtualMachine", "b", "cluster: old\nmemory: 1Gi\nfirmware: uefi"),
    )

    assert told(loaded) == [("spec.firmware", "uefi needs a q35 machine", "remove machineType, or write q35")]


@pytest.mark.parametrize(
    ("lines", "field", "summary"),
    [
        ("type: localfs", "spec.host", "a localfs storage domain needs a host"),
        ("type: localfs\nhost: h1\nvfsType: ext4", "spec.vfsType", "localfs is not mounted"),
        ("type: localfs\nhost: h1\nmountOptions: bind", "spec.mountOptions", "localfs is not mounted"),
        ("type: posixfs", "spec.vfsType", "a posixfs storage domain needs a vfsType"),
        (
            "type: posixfs\nvfsType: none\nhost: h1",
            "spec.host",
            "a posixfs storage domain belongs to every host",
        ),
    ],
)
def test_fields_of_a_storage_domain_go_with_its_type(load_farm, thing, lines, field, summary):
    loaded = load_farm(thing("StorageDomain", "s", f"dataCenter: farm\npath: /srv/s\n{lines}"))

    assert [(p.field, p.summary) for p in loaded.problems] == [(field, summary)]


SOURCES = [
    "nfs-1.example.org:/exports/images",
    "192.0.2.7:/",
    "[2001:db8::7]:/exports",
    "mon-1,mon-2,mon-3:6789:/images",
    "ostler@.fs=/images",
    ":/images",
    "gluster-1,gluster-2:/volume/images",
    "gluster-1:volume",
    "//filer/share/images",
    "LABEL=images",
    "/srv/some where",
]


@pytest.mark.parametrize("source", SOURCES)
def test_a_posixfs_domain_mounts_whatever_its_file_system_takes(load_farm, thing, source):
    lines = f"dataCenter: farm\ntype: posixfs\nvfsType: nfs\npath: '{source}'"
    loaded = load_farm(thing("StorageDomain", "s", lines))

    assert loaded.problems == ()
    assert loaded.farm.storage_domains["sd/s"].path == source
    connection = StorageConnection("posixfs", source, "nfs")
    assert decode_strict(encode(connection), StorageConnection) == connection


@pytest.mark.parametrize(
    ("source", "summary"),
    [
        ("-osuid", "'-osuid' is not something to mount"),
        ("", "this is empty"),
        (" server:/a", "' server:/a' is not something to mount"),
        ("server:/a\\n", "'server:/a\\n' is not something to mount"),
        ("server:/a\\u202eb", "'server:/a\\u202eb' holds control characters"),
        ("server:/a/", "server:/a/ is not in its shortest form"),
        ("server:/a/../b", "server:/a/../b is not in its shortest form"),
        ("server:a//b", "server:a//b is not in its shortest form"),
        ("///a", "///a is not in its shortest form"),
        ("/", "/ is not in its shortest form"),
    ],
)
def test_what_cannot_be_mounted_is_refused(load_farm, thing, source, summary):
    lines = f'dataCenter: farm\ntype: posixfs\nvfsType: nfs\npath: "{source}"'
    loaded = load_farm(thing("StorageDomain", "s", lines))

    assert [(p.field, p.summary) for p in loaded.problems] == [("spec.path", summary)]


@pytest.mark.parametrize(
    ("lines", "summary"),
    [
        ("type: localfs\nhost: h1", "a localfs storage domain is a directory"),
        ("type: posixfs\nvfsType: none\nmountOptions: bind", "a bind mount needs an absolute path"),
        ("type: posixfs\nvfsType: ext4\nmountOptions: ro,bind", "a bind mount needs an absolute path"),
    ],
)
def test_a_directory_is_named_by_its_path(load_farm, thing, lines, summary):
    loaded = load_farm(thing("StorageDomain", "s", f"dataCenter: farm\npath: server:/images\n{lines}"))

    assert [(p.field, p.summary) for p in loaded.problems] == [("spec.path", summary)]


def test_a_disk_needs_a_size_in_whole_4_kib(load_farm, thing):
    loaded = load_farm(
        thing("Disk", "a", "storageDomain: shared\nsize: 0"),
        thing("Disk", "b", "storageDomain: shared\nsize: 1000000"),
        thing("Disk", "c", "storageDomain: shared\nsize: 4Ki"),
    )

    assert loaded.summaries == ["a disk needs a size", "1000000 is not a whole number of 4 KiB"]


@pytest.mark.parametrize(
    ("name", "bridge"),
    [("vms2", "vms2"), ("n" * 15, "n" * 15), ("backup-of-rack-1", "backup-"), ("v.10", "v10-")],
)
def test_a_bridge_is_named_after_its_network_where_linux_takes_it(load_farm, thing, name, bridge):
    derived = load_farm(thing("LogicalNetwork", name, "dataCenter: farm")).farm.networks[f"net/{name}"].bridge

    assert derived.startswith(bridge)
    assert len(derived) <= 15


def test_a_derived_bridge_is_the_same_in_every_pass_and_tells_networks_apart(load_farm, thing):
    names = [f"backup-of-rack-{n}" for n in range(50)]
    first, second = (
        load_farm(*(thing("LogicalNetwork", n, "dataCenter: farm") for n in names)) for _ in range(2)
    )

    assert first.problems == ()
    assert first.farm.networks == second.farm.networks
    assert first.farm.networks["net/backup-of-rack-7"].bridge == "backup-a948e07e"


def test_names_that_linux_keeps_for_itself_are_no_bridges(load_farm, thing):
    loaded = load_farm(
        thing("LogicalNetwork", "bond-net", "dataCenter: farm"),
        thing("LogicalNetwork", "a", "dataCenter: farm\nbridge: lo"),
        thing("LogicalNetwork", "b", "dataCenter: farm\nbridge: bond0"),
        thing("LogicalNetwork", "c", "dataCenter: farm\nbridge: longer-than-fifteen"),
    )

    assert [(p.object, p.field) for p in loaded.problems] == [
        ("net/bond-net", "metadata.name"),
        ("net/a", "spec.bridge"),
        ("net/b", "spec.bridge"),
        ("net/c", "spec.bridge"),
    ]


def test_a_network_is_attached_once_and_a_nic_carries_one(load_farm, thing):
    loaded = load_farm(
        thing("LogicalNetwork", "lab", "dataCenter: farm"),
        thing("Cluster", "second", "dataCenter: farm\nnetworks: [vms, lab, vms]"),
        thing(
            "Host",
            "h2",
            "cluster: second\naddress: 192.0.2.12\nnetworks:\n"
            "- {network: vms, nic: eth1}\n- {network: lab, nic: eth1}\n- {network: vms}\n",
        ),
    )

    assert loaded.summaries == [
        "vms is listed twice",
        "NIC eth1 carries two networks",
        "network vms is attached twice",
    ]


@pytest.mark.parametrize("name", ["a.b", "a" * 41])
def test_what_cannot_be_the_name_of_a_data_center_needs_another_for_people(load, name):
    text = "apiVersion: ostler.dev/v1alpha1\nkind: DataCenter\nmetadata: {{name: {}}}\nspec: {{uuid: 0b5c6a1e-7d3f-4c55-9e0a-3f1f6d2b8c47{}}}\n"

    (problem,) = load(text.format(name, "")).problems
    assert (problem.field, problem.summary) == ("metadata.name", f"a data center cannot be called {name}")
    assert load(text.format(name, ", name: Farm_1")).problems == ()
