"""Manifests round-trip: an estate written as YAML is read as the estate that it was, in whatever order and files."""

import io
from dataclasses import replace
from typing import Any

import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.desired.build import build_desired
from reconciler.desired.read import read_paths
from reconciler.model.desired import DataCenter, Desired, Disk, Host, VirtualMachine
from reconciler.model.names import KINDS, name_of
from tests.laws.estates import GIB, MIB, EstateSpec, build, estate_specs

GROUPS = ("clusters", "hosts", "networks", "storage_domains", "disks", "vms")


@given(estate_specs(), st.randoms(use_true_random=False))
def test_what_is_written_as_manifests_is_read_as_it_was(spec: EstateSpec, random: Any):
    assume(not any(vm.domain == 2 and vm.pins for vm in spec.vms))  # a local disk pins by itself
    desired = build(spec)
    documents = [*manifests_of(desired)]
    random.shuffle(documents)

    text = "---\n".join(yaml.safe_dump(one, sort_keys=random.random() < 0.5) for one in documents)
    found, problems = build_desired(read_paths(["-"], io.BytesIO(text.encode())).documents)

    assert problems == ()
    assert plain(found["dc/farm"]) == plain(desired)
    again, _ = build_desired(read_paths(["-"], io.BytesIO(yaml.safe_dump_all(documents).encode())).documents)
    assert again == found


def plain(desired: Desired) -> Desired:
    """The estate without digests, which the writer chose, and places, which a value in memory does not have."""
    groups = {name: {key: bare(one) for key, one in getattr(desired, name).items()} for name in GROUPS}
    return replace(desired, data_center=bare(desired.data_center), **groups)


def bare(declared: Any) -> Any:
    uuid = None if isinstance(declared, DataCenter) else declared.meta.uuid  # its own field says it once more
    return replace(declared, meta=replace(declared.meta, digest="", uuid=uuid))


def manifests_of(desired: Desired) -> list[dict[str, Any]]:
    """Every object as a document."""
    center = desired.data_center
    found = [document(center, {"uuid": center.uuid})]
    found += [
        document(one, {"dataCenter": "farm", "networks": [*map(name_of, one.networks)]})
        for one in desired.clusters.values()
    ]
    found += [
        document(one, {"dataCenter": "farm", "bridge": one.bridge}) for one in desired.networks.values()
    ]
    for domain in desired.storage_domains.values():
        spec = {"dataCenter": "farm", "type": domain.type, "path": domain.path, "vfsType": domain.vfs_type}
        found.append(document(domain, {**spec, "host": domain.host and name_of(domain.host)}))
    found += [document(one, host_spec(one)) for one in desired.hosts.values()]
    found += [document(one, disk_spec(one)) for one in desired.disks.values()]
    return found + [document(one, vm_spec(one)) for one in desired.vms.values()]


def host_spec(host: Host) -> dict[str, Any]:
    networks = [{"network": name_of(one.network), "nic": one.nic} for one in host.networks]
    return {
        "cluster": name_of(host.cluster),
        "address": host.address,
        "maintenance": host.maintenance,
        "networks": networks,
    }


def disk_spec(disk: Disk) -> dict[str, Any]:
    return {"storageDomain": name_of(disk.storage_domain), "size": f"{disk.size_bytes // GIB}Gi"}


def vm_spec(vm: VirtualMachine) -> dict[str, Any]:
    assert vm.kernel is not None
    return {
        "cluster": name_of(vm.cluster),
        "memory": f"{vm.memory_bytes // MIB}Mi",
        "maxMemory": f"{vm.maximum_memory_bytes // MIB}Mi",
        "guaranteedMemory": f"{vm.guaranteed_memory_bytes // MIB}Mi",
        "disks": [{"disk": name_of(one.disk), "bus": one.bus} for one in vm.disks],
        "nics": [{"name": one.name, "network": name_of(one.network)} for one in vm.nics],
        "boot": {"kernel": vm.kernel.kernel},
        "runPolicy": str(vm.run_policy),
        "restartPolicy": str(vm.restart_policy),
        "placement": {"hosts": [*map(name_of, vm.hosts)], "migration": str(vm.mobility)},
        "priority": vm.priority,
        "serial": vm.serial,
        "firmware": vm.firmware,
        "tpm": vm.tpm,
    }


def document(declared: Any, spec: dict[str, Any]) -> dict[str, Any]:
    """An object's manifest; what is None is left out."""
    consent = declared.meta.allow_destroy
    annotations = {"annotations": {"ostler.dev/allow-destroy": consent}} if consent else {}
    return {
        "apiVersion": "ostler.dev/v1alpha1",
        "kind": str(KINDS[declared.meta.id.partition("/")[0]]),
        "metadata": {"name": name_of(declared.meta.id), **annotations},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }
