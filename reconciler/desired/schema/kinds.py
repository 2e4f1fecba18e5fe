"""The table of kinds: schema, and how Kubernetes names and lists each."""

from dataclasses import dataclass
from typing import Final

from reconciler.desired.schema.base import Manifest
from reconciler.desired.schema.cluster import ClusterManifest
from reconciler.desired.schema.data_center import DataCenterManifest
from reconciler.desired.schema.disk import DiskManifest
from reconciler.desired.schema.host import HostManifest
from reconciler.desired.schema.logical_network import LogicalNetworkManifest
from reconciler.desired.schema.scheduling_policy import SchedulingPolicyManifest
from reconciler.desired.schema.status import DiskStatus, HostStatus, Status, VirtualMachineStatus
from reconciler.desired.schema.storage_domain import StorageDomainManifest
from reconciler.desired.schema.virtual_machine import VirtualMachineManifest
from reconciler.model.names import Kind


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; wide ones show with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class KindSchema:
    """One kind: its manifest and status, its plural and short name in Kubernetes, its columns."""

    manifest: type[Manifest]
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    status: type[Status] = Status


_DATA_CENTER: Final = Column("Data center", ".spec.dataCenter")
_CLUSTER: Final = Column("Cluster", ".spec.cluster")
_UUID: Final = Column("UUID", ".status.uuid", wide=True)

KIND_SCHEMAS: Final[dict[Kind, KindSchema]] = {
    Kind.DATA_CENTER: KindSchema(
        DataCenterManifest, "datacenters", "dc", (Column("UUID", ".spec.uuid", wide=True),)
    ),
    Kind.LOGICAL_NETWORK: KindSchema(
        LogicalNetworkManifest,
        "logicalnetworks",
        "lnet",
        (_DATA_CENTER, Column("MTU", ".spec.mtu", "integer"), Column("Bridge", ".spec.bridge", wide=True)),
    ),
    Kind.STORAGE_DOMAIN: KindSchema(
        StorageDomainManifest,
        "storagedomains",
        "sd",
        (_DATA_CENTER, Column("Type", ".spec.type"), Column("Path", ".spec.path", wide=True)),
    ),
    Kind.SCHEDULING_POLICY: KindSchema(
        SchedulingPolicyManifest,
        "schedulingpolicies",
        "osched",
        (_DATA_CENTER, Column("Balance", ".spec.balance.unit")),
    ),
    Kind.CLUSTER: KindSchema(
        ClusterManifest,
        "clusters",
        "ocl",
        (
            _DATA_CENTER,
            Column("Scheduling policy", ".spec.schedulingPolicy"),
            Column("CPU model", ".spec.cpuModel", wide=True),
        ),
    ),
    Kind.HOST: KindSchema(
        HostManifest,
        "hosts",
        "ohost",
        (
            _CLUSTER,
            Column("Address", ".spec.address"),
            Column("Maintenance", ".spec.maintenance", "boolean"),
            _UUID,
        ),
        HostStatus,
    ),
    Kind.DISK: KindSchema(
        DiskManifest,
        "disks",
        "odisk",
        (
            Column("Storage domain", ".spec.storageDomain"),
            Column("Size", ".spec.size"),
            Column("Format", ".spec.format", wide=True),
            _UUID,
        ),
        DiskStatus,
    ),
    Kind.VIRTUAL_MACHINE: KindSchema(
        VirtualMachineManifest,
        "virtualmachines",
        "ovm",
        (
            _CLUSTER,
            Column("Memory", ".spec.memory"),
            Column("Run policy", ".spec.runPolicy", wide=True),
            Column("Power", ".status.power"),
            Column("Host", ".status.host"),
            _UUID,
        ),
        VirtualMachineStatus,
    ),
}
"""Every kind, in the order in which they depend on each other."""
