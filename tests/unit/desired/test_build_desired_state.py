"""What manifests come to: defaults, references as object ids, data centers apart, digests, places."""

import os
import subprocess
import sys

import pytest

from reconciler.desired.build import build_desired
from reconciler.desired.fitting import check_against_hosts
from reconciler.desired.paths import format_path, parse_path
from reconciler.desired.places import Places
from reconciler.desired.read import read_paths
from reconciler.model import desired as model
from reconciler.model.fitting import HostCapacity
from reconciler.model.identity import host_uuid, storage_uuid
from reconciler.problems import Where

FARM = "0b5c6a1e-7d3f-4c55-9e0a-3f1f6d2b8c47"
MIB = 2**20


def test_a_bare_vm_gets_the_defaults(load_farm, vm):
    loaded = load_farm(vm("memory: 256Mi"))

    assert loaded.problems == ()
    declared = loaded.farm.vms["vm/web-1"]
    assert declared == model.VirtualMachine(
        meta=declared.meta,
        cluster="cluster/main",
        cpu=model.CpuTopology(),
        memory_bytes=256 * MIB,
        maximum_memory_bytes=256 * MIB,
        guaranteed_memory_bytes=256 * MIB,
    )
    assert (declared.meta.name, declared.meta.uuid, declared.meta.allow_destroy) == ("web-1", None, None)


EVERY_FIELD_OF_A_VM = """
        name: Web_1
        uuid: 90C4E7D2-1B6F-4A38-BD05-6E2F83A9C741
        description: First of them
        cpu: {sockets: 2, cores: 4, threads: 2, maxSockets: 8, model: Haswell}
        memory: 2Gi
        maxMemory: 4Gi
        guaranteedMemory: 1Gi
        machineType: pc-q35-7.2
        firmware: uefi
        boot: {kernel: /k, initrd: /i, cmdline: quiet}
        disks: [{disk: web-1-root, bus: scsi, bootOrder: 1, readOnly: true}]
        nics: [{name: nic1, network: vms, model: e1000, mac: '56:6F:1A:00:00:01', link: down}]
        cdrom: {storageDomain: shared, file: a.iso}
        serial: false
        vnc: {password: {secret: console, key: web}}
        balloon: true
        rng: false
        tpm: true
        runPolicy: Always
        restartPolicy: WhenNeeded
        placement: {hosts: [h1], migration: Pinned}
        priority: 90
        shutdownTimeout: 1h30m
        """


def test_every_field_of_a_vm_arrives(load_farm, vm, thing):
    text = vm(
        EVERY_FIELD_OF_A_VM,
        metadata="annotations: {ostler.dev/renamed-from: vm/old, ostler.dev/allow-destroy: 90c4e7d2-1b6f-4a38-bd05-6e2f83a9c741}",
    )
    loaded = load_farm(text)

    assert loaded.problems == ()
    declared = loaded.farm.vms["vm/web-1"]
    uuid = "90c4e7d2-1b6f-4a38-bd05-6e2f83a9c741"
    assert declared == model.VirtualMachine(
        meta=model.Meta(
            "vm/web-1", "Web_1", declared.meta.digest, uuid=uuid, allow_destroy=uuid, renamed_from="vm/old"
        ),
        cluster="cluster/main",
        cpu=model.CpuTopology(2, 4, 2, 8, "Haswell"),
        memory_bytes=2048 * MIB,
        maximum_memory_bytes=4096 * MIB,
        guaranteed_memory_bytes=1024 * MIB,
        disks=(model.DiskAttachment("disk/web-1-root", "scsi", 1, True),),
        nics=(model.Nic("nic1", "net/vms", "e1000", "56:6f:1a:00:00:01", "down"),),
        firmware="uefi",
        machine="pc-q35-7.2",
        kernel=model.KernelBoot("/k", "/i", "quiet"),
        cdrom=model.Cdrom("sd/shared", "a.iso"),
        serial=False,
        vnc=model.Vnc(model.SecretRef("console", "web")),
        rng=False,
        tpm=True,
        run_policy=model.RunPolicy.ALWAYS,
        restart_policy=model.RestartPolicy.WHEN_NEEDED,
        hosts=("host/h1",),
        mobility=model.Mobility.PINNED,
        priority=90,
        shutdown_ms=5_400_000,
        description="First of them",
    )


def every_other_kind(thing):
    return [
        thing(
            "DataCenter", "farm", f"uuid: {FARM}\nname: Farm\nmacPrefix: 02:AA:bb\nremovedDisksRetention: 14d"
        ),
        thing("LogicalNetwork", "vms", "dataCenter: farm\nbridge: br7\nmtu: 9000\ndescription: fast"),
        thing(
            "Cluster",
            "main",
            """
            dataCenter: farm
            networks: [vms]
            cpuModel: Haswell
            machineType: q35
            memoryOvercommitPercent: 150
            countThreadsAsCores: true
            migration: {bandwidth: 100Mi, concurrentPerHost: 1, downtime: 1s, stallTimeout: 5m, secondsPerGiB: 9}
            """,
        ),
        thing(
            "Host",
            "h1",
            "cluster: main\naddress: h1.example.org\nport: 5\nmaintenance: true\nnetworks: [{network: vms, nic: eth1}]",
        ),
        thing(
            "StorageDomain",
            "s",
            "dataCenter: farm\ntype: posixfs\nrole: data\npath: /s\nvfsType: ext4\nmountOptions: ro\n"
            "description: d\ncriticalSpace: 1Gi\nwarningSpacePercent: 5",
        ),
        thing("StorageDomain", "l", "dataCenter: farm\ntype: localfs\npath: /l\nhost: h1"),
        thing(
            "Disk", "d", "storageDomain: s\nsize: 8Ki\nformat: raw\nallocation: preallocated\ndescription: x"
        ),
    ]


def declared_domains(meta):
    shared, local = meta["sd/s"], meta["sd/l"]
    return {
        "sd/l": model.StorageDomain(local, storage_uuid(FARM, "sd/l"), "localfs", "/l", host="host/h1"),
        "sd/s": model.StorageDomain(
            shared, storage_uuid(FARM, "sd/s"), "posixfs", "/s", "ext4", "ro", None, "d", 1024 * MIB, 5
        ),
    }


def test_every_field_of_the_other_kinds_arrives(load, thing):
    loaded = load(*every_other_kind(thing))

    assert loaded.problems == ()
    farm = loaded.farm
    meta = {
        one.meta.id: one.meta
        for group in (farm.clusters, farm.hosts, farm.networks, farm.storage_domains, farm.disks)
        for one in group.values()
    }
    assert farm == model.Desired(
        data_center=model.DataCenter(farm.data_center.meta, FARM, "02:aa:bb", 14 * 86_400_000),
        clusters={
            "cluster/main": model.Cluster(
                meta["cluster/main"],
                ("net/vms",),
                "Haswell",
                "q35",
                150,
                True,
                model.MigrationLimits(100, 1, 1000, 300_000, 9),
            )
        },
        hosts={
            "host/h1": model.Host(
                meta["host/h1"],
                host_uuid(FARM, "host/h1"),
                "cluster/main",
                "h1.example.org",
                5,
                True,
                (model.NetworkAttachment("net/vms", "eth1"),),
            )
        },
        networks={"net/vms": model.LogicalNetwork(meta["net/vms"], "br7", 9000, "fast")},
        storage_domains=declared_domains(meta),
        disks={"disk/d": model.Disk(meta["disk/d"], "sd/s", 8192, "raw", "preallocated", "x")},
    )
    assert farm.data_center.meta.name == "Farm"


def test_mappings_are_sorted_by_id_whatever_the_order_of_documents(load_farm, vm):
    names = ["c", "a", "b"]

    forward = load_farm(*(vm(name=name) for name in names))
    backward = load_farm(*(vm(name=name) for name in reversed(names)))

    assert list(forward.farm.vms) == list(backward.farm.vms) == ["vm/a", "vm/b", "vm/c"]
    assert forward.farm == backward.farm


def test_data_centers_are_told_apart(load_farm, thing):
    loaded = load_farm(
        thing("DataCenter", "other", "uuid: 5b5c6a1e-7d3f-4c55-9e0a-3f1f6d2b8c47"),
        thing("Cluster", "remote", "dataCenter: other"),
        thing("Host", "r1", "cluster: remote\naddress: 192.0.2.31"),
        thing("VirtualMachine", "far", "cluster: remote\nmemory: 1Gi"),
    )

    assert loaded.problems == ()
    assert sorted(loaded.desired) == ["dc/farm", "dc/other"]
    assert (list(loaded.farm.vms), list(loaded.desired["dc/other"].vms)) == ([], ["vm/far"])
    assert list(loaded.desired["dc/other"].hosts) == ["host/r1"]


def test_nothing_declared_is_nothing_desired():
    assert build_desired(()) == ({}, ())


def digest(loaded, name="web-1"):
    return loaded.farm.vms[f"vm/{name}"].meta.digest


def test_the_digest_is_that_of_the_meaning_not_of_the_text(load_farm, vm):
    plain = digest(load_farm(vm("memory: 1Gi")))

    assert (
        digest(load_farm("# moved", vm("memory: 1024Mi\nmaxMemory: 1Gi\npriority: 50\ncpu: {sockets: 1}")))
        == plain
    )
    assert digest(load_farm(vm("memory: 1Gi\nname: web-1", metadata="labels: {a: b}"))) == plain


@pytest.mark.parametrize(
    "line",
    [
        "priority: 51",
        "name: other",
        "cpu: {maxSockets: 2}",
        "nics: [{name: a, network: vms}]",
        "serial: false",
        "uuid: 90c4e7d2-1b6f-4a38-bd05-6e2f83a9c741",
    ],
)
def test_the_digest_changes_with_every_field(load_farm, vm, line):
    assert digest(load_farm(vm(line))) != digest(load_farm(vm()))


def test_the_digest_knows_consent_and_the_cluster_of_an_object(load_farm, vm, thing):
    consent = "annotations: {ostler.dev/allow-destroy: 90c4e7d2-1b6f-4a38-bd05-6e2f83a9c741}"
    cluster = thing("Cluster", "second", "dataCenter: farm")
    moved = vm().replace("cluster: main", "cluster: second")

    assert len({digest(load_farm(cluster, text)) for text in (vm(), vm(metadata=consent), moved)}) == 3


def test_digests_are_the_same_in_every_release(load_farm, vm, thing):
    """Records hold them: a change here would make every object look edited after an upgrade."""
    loaded = load_farm(vm("memory: 1Gi\nnics: [{name: nic1, network: vms}]\nplacement: {hosts: [h1]}"))

    assert digest(loaded) == "e18471df91070ae2d765ba089eb58d60be5860894547010245140409f39dbd79"
    assert (
        loaded.farm.hosts["host/h1"].meta.digest
        == "b827cec987b9109491737c063f8f868fcae00351c2266636eb3a0c58c48c3bf0"
    )
    assert (
        loaded.farm.clusters["cluster/main"].meta.digest
        == "cf5c249b571310778623520c164571aabd53558102a36d93b580d67d80c4d605"
    )


def test_the_bytes_do_not_depend_on_the_hash_seed(tmp_path):
    script = (
        "import sys\nfrom reconciler.desired.read import read_paths\nfrom reconciler.desired.build import build_desired\n"
        "print(build_desired(read_paths(sys.argv[1:], None).documents))"
    )
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        "apiVersion: ostler.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: x}\nspec: {cluster: man, memoy: 1, cpux: 2}\n"
    )
    command = [sys.executable, "-c", script, "examples/manifests/quickstart", str(broken)]
    outputs = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1", "2")
    }

    assert len(outputs) == 1


def documents_of(tmp_path, text):
    file = tmp_path / "m.yaml"
    file.write_text(text)
    return str(file), read_paths([str(file)], None).documents


def test_places_are_found_by_object_and_field(tmp_path, vm):
    text = vm(
        "memory: 1Gi\nnics:\n- name: a\n  network: vms",
        metadata="annotations: {ostler.dev/renamed-from: vm/b}",
    )
    file, documents = documents_of(tmp_path, text)
    places = Places(documents)

    assert places.find("vm/web-1", "spec.memory") == Where(file, 8, 3)
    assert places.find("vm/web-1", "spec.nics[0].network") == Where(file, 11, 5)
    assert places.find("vm/web-1", "metadata.annotations[ostler.dev/renamed-from]") == Where(file, 5, 17)
    assert places.find("vm/web-1", "spec.nics[3].mac") == Where(file, 9, 3)
    assert places.find("vm/web-1") == Where(file, 1, 1)
    assert places.find("vm/web-2", "spec.memory") is None


def test_places_of_many_fields_come_in_the_order_asked(tmp_path, vm):
    file, documents = documents_of(tmp_path, vm(name="a") + "---\n" + vm(name="b"))

    found = Places(documents).find_all([("vm/b", "spec.memory"), ("vm/c", "spec"), ("vm/a", "spec.cluster")])

    assert found == [Where(file, 15, 3), None, Where(file, 6, 3)]


@pytest.mark.parametrize(
    "text", ["spec.memory", "spec.nics[0].mac", "metadata.annotations[ostler.dev/allow-destroy]", ""]
)
def test_field_paths_are_read_back(text):
    assert format_path(parse_path(text)) == text


def test_objects_know_the_line_on_which_they_start(load_farm, vm):
    loaded = load_farm("# a comment\n\n" + vm())

    assert loaded.farm.vms["vm/web-1"].meta.where == Where("-", 35, 1)
    assert loaded.farm.data_center.meta.where == Where("-", 1, 1)


def test_an_unsound_document_declares_its_name_and_no_object(tmp_path, vm):
    unsound = vm("memory: 1Gi\nmemory: 2Gi\ncolour: red")
    _, documents = documents_of(tmp_path, unsound)

    desired, problems = build_desired(documents)

    assert desired == {}
    assert [one.field for one in problems] == ["spec.cluster", "spec.colour"]
    assert Places(documents).find("vm/web-1") is not None


SMALL = HostCapacity(memory_bytes=2048 * MIB, cores=2, threads=4)


def test_a_vm_larger_than_every_host_is_told_with_what_there_is(load_farm, vm):
    farm = load_farm(vm("memory: 4Gi\ncpu: {sockets: 3}")).farm

    problems = check_against_hosts(farm, {"host/h1": SMALL})

    assert [(p.field, p.summary, p.detail) for p in problems] == [
        (
            "spec.memory",
            # 4096 for the guest; 64 + 4096/512 + 3 x 8 for QEMU; the host keeps 321 for itself
            "needs 4192Mi of memory, more than every host of cluster/main has for guests",
            "the largest has 1727Mi",
        ),
        ("spec.cpu", "has 3 vCPUs, more than every host of cluster/main has cores", "the largest has 2"),
    ]
    assert problems[0].where == farm.vms["vm/web-1"].meta.where


def test_a_vm_that_fits_one_host_is_left_alone(load_farm, vm, thing):
    farm = load_farm(
        thing("Host", "h2", "cluster: main\naddress: 192.0.2.12"), vm("memory: 1Gi\ncpu: {sockets: 2}")
    ).farm
    tiny = HostCapacity(512 * MIB, 1, 1)

    assert check_against_hosts(farm, {"host/h1": tiny, "host/h2": SMALL}) == ()


def test_a_host_of_unknown_size_may_be_large_enough(load_farm, vm, thing):
    farm = load_farm(thing("Host", "h2", "cluster: main\naddress: 192.0.2.12"), vm("memory: 64Gi")).farm

    assert check_against_hosts(farm, {"host/h1": SMALL}) == ()
    assert check_against_hosts(farm, {}) == ()


def test_a_pinned_vm_is_measured_by_its_own_hosts(load_farm, vm, thing):
    farm = load_farm(
        thing("Host", "h2", "cluster: main\naddress: 192.0.2.12"), vm("memory: 4Gi\nplacement: {hosts: [h1]}")
    ).farm
    large = HostCapacity(64 * 2**30, 64, 128)

    (problem,) = check_against_hosts(farm, {"host/h1": SMALL, "host/h2": large})

    assert (
        problem.summary == "needs 4176Mi of memory, more than every host that it is pinned to has for guests"
    )


def test_threads_count_where_the_cluster_says_so(load_farm, thing):
    def problems(count_threads):
        farm = load_farm(
            thing("Cluster", "ht", f"dataCenter: farm\ncountThreadsAsCores: {count_threads}"),
            thing("Host", "h2", "cluster: ht\naddress: 192.0.2.12"),
            thing("VirtualMachine", "a", "cluster: ht\nmemory: 1Gi\ncpu: {cores: 4}"),
        ).farm
        return check_against_hosts(farm, {"host/h2": SMALL})

    assert problems("true") == ()
    assert len(problems("false")) == 1


def test_memory_on_one_host_and_cpus_on_another_do_not_make_a_place(load_farm, vm, thing):
    farm = load_farm(
        thing("Host", "h2", "cluster: main\naddress: 192.0.2.12"), vm("memory: 4Gi\ncpu: {sockets: 4}")
    ).farm

    problems = check_against_hosts(
        farm, {"host/h1": HostCapacity(8 * 2**30, 2, 2), "host/h2": HostCapacity(2 * 2**30, 8, 8)}
    )

    assert [p.summary for p in problems] == [
        "no host of cluster/main has both the memory and the CPUs for it"
    ]


def test_sizes_are_placed_at_the_field_where_places_are_known(tmp_path, vm):
    base, documents = documents_of(
        tmp_path,
        f"apiVersion: ostler.dev/v1alpha1\nkind: DataCenter\nmetadata: {{name: farm}}\nspec: {{uuid: {FARM}}}\n---\n"
        "apiVersion: ostler.dev/v1alpha1\nkind: Cluster\nmetadata: {name: main}\nspec: {dataCenter: farm}\n---\n"
        "apiVersion: ostler.dev/v1alpha1\nkind: Host\nmetadata: {name: h1}\nspec: {cluster: main, address: h1}\n---\n"
        + vm("memory: 4Gi"),
    )
    desired, problems = build_desired(documents)
    assert problems == ()

    (problem,) = check_against_hosts(desired["dc/farm"], {"host/h1": SMALL}, Places(documents))

    assert problem.where == Where(base, 22, 3)
