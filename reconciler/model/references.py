"""Which objects a declared object names, and in which field: the one list of references that there is.

`desired` finds dangling references with it, `planning` what a plan rests on.
"""

from collections.abc import Iterator
from typing import Final

from reconciler.model.desired import (
    Cluster,
    DataCenter,
    Disk,
    Host,
    LogicalNetwork,
    SchedulingPolicy,
    StorageDomain,
    VirtualMachine,
)
from reconciler.model.policies import BUILT_IN

Declared = (
    DataCenter | LogicalNetwork | StorageDomain | SchedulingPolicy | Cluster | Host | Disk | VirtualMachine
)
FieldPath = tuple[str | int, ...]
_PARENT_FIELDS: Final[dict[type, FieldPath]] = {
    LogicalNetwork: ("spec", "dataCenter"),
    StorageDomain: ("spec", "dataCenter"),
    SchedulingPolicy: ("spec", "dataCenter"),
    Cluster: ("spec", "dataCenter"),
    Host: ("spec", "cluster"),
    Disk: ("spec", "storageDomain"),
    VirtualMachine: ("spec", "cluster"),
}


def parent_of(declared: Declared, data_center: str) -> str | None:
    """The object that another one belongs to: its cluster, storage domain or data center. The root has none."""
    if isinstance(declared, Host | VirtualMachine):
        return declared.cluster
    if isinstance(declared, Disk):
        return declared.storage_domain
    return None if isinstance(declared, DataCenter) else data_center


def list_references(declared: Declared, belongs_to: str | None) -> Iterator[tuple[FieldPath, str]]:
    """Each field that names another object, and the id that it names. belongs_to: its parent."""
    if belongs_to is not None:
        yield _PARENT_FIELDS[type(declared)], belongs_to
    if isinstance(declared, VirtualMachine):
        yield from _references_of_vm(declared)
    elif isinstance(declared, Cluster):
        for index, network in enumerate(declared.networks):
            yield ("spec", "networks", index), network
        if declared.scheduling_policy not in BUILT_IN:
            yield ("spec", "schedulingPolicy"), declared.scheduling_policy
    elif isinstance(declared, Host):
        for index, attachment in enumerate(declared.networks):
            yield ("spec", "networks", index, "network"), attachment.network
    elif isinstance(declared, StorageDomain) and declared.host:
        yield ("spec", "host"), declared.host


def _references_of_vm(vm: VirtualMachine) -> Iterator[tuple[FieldPath, str]]:
    for index, disk in enumerate(vm.disks):
        yield ("spec", "disks", index, "disk"), disk.disk
    for index, nic in enumerate(vm.nics):
        yield ("spec", "nics", index, "network"), nic.network
    for index, host in enumerate(vm.hosts):
        yield ("spec", "placement", "hosts", index), host
    if vm.cdrom and vm.cdrom.storage_domain:
        yield ("spec", "cdrom", "storageDomain"), vm.cdrom.storage_domain
