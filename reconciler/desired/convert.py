"""Manifests turned into objects of `reconciler.model.desired`, one by one.

References become object ids by name alone, so a conversion needs no other object; whether they lead
anywhere is for `references`. Called by `declarations`.
"""

from typing import Any, Final, NamedTuple

from nodeagent.wire.guest import KernelBoot
from reconciler.desired.defaults import derive_bridge
from reconciler.desired.digests import digest_declared
from reconciler.desired.schema.base import Manifest
from reconciler.desired.schema.cluster import ClusterManifest, ClusterSpec
from reconciler.desired.schema.data_center import DataCenterManifest, DataCenterSpec
from reconciler.desired.schema.disk import DiskManifest, DiskSpec
from reconciler.desired.schema.host import HostManifest, HostSpec
from reconciler.desired.schema.logical_network import LogicalNetworkManifest, LogicalNetworkSpec
from reconciler.desired.schema.scheduling_policy import (
    ParametersSpec,
    SchedulingPolicyManifest,
    SchedulingPolicySpec,
)
from reconciler.desired.schema.storage_domain import StorageDomainManifest, StorageDomainSpec
from reconciler.desired.schema.virtual_machine import (
    CdromSpec,
    CpuSpec,
    VirtualMachineManifest,
    VirtualMachineSpec,
    VncSpec,
)
from reconciler.model import desired as model
from reconciler.model.names import DEFAULT_NAMESPACE, Kind, namespace_of, object_id
from reconciler.problems import Where

Declared = (
    model.DataCenter
    | model.LogicalNetwork
    | model.StorageDomain
    | model.SchedulingPolicy
    | model.Cluster
    | model.Host
    | model.Disk
    | model.VirtualMachine
)


class Converted(NamedTuple):
    """An object and the id of what it belongs to: cluster, storage domain or data center."""

    declared: Declared
    belongs_to: str | None


def convert_manifest(kind: Kind, manifest: Manifest, where: Where) -> Converted:
    """The object that a manifest declares. Hosts and storage domains without a uuid have an empty one as yet."""
    meta = _read_meta(kind, manifest, where)
    declared: Declared
    match manifest:
        case VirtualMachineManifest(spec=spec):
            belongs_to = object_id(Kind.CLUSTER, spec.cluster)
            declared = _convert_vm(meta, spec, belongs_to)
        case DiskManifest(spec=spec):
            belongs_to = object_id(Kind.STORAGE_DOMAIN, spec.storage_domain)
            declared = _convert_disk(meta, spec, belongs_to)
        case HostManifest(spec=spec):
            belongs_to = object_id(Kind.CLUSTER, spec.cluster)
            declared = _convert_host(meta, spec, belongs_to)
        case DataCenterManifest(spec=spec):
            return _seal(_convert_data_center(meta, spec), None)
        case SchedulingPolicyManifest(spec=spec):
            belongs_to = object_id(Kind.DATA_CENTER, spec.data_center)
            declared = _convert_policy(meta, spec)
        case ClusterManifest(spec=spec):
            belongs_to = object_id(Kind.DATA_CENTER, spec.data_center)
            declared = _convert_cluster(meta, spec)
        case StorageDomainManifest(spec=spec):
            belongs_to = object_id(Kind.DATA_CENTER, spec.data_center)
            declared = _convert_storage(meta, spec)
        case LogicalNetworkManifest(spec=spec):
            belongs_to = object_id(Kind.DATA_CENTER, spec.data_center)
            declared = _convert_network(meta, spec, manifest.metadata.name)
        case _:
            raise AssertionError(f"no conversion for {type(manifest).__name__}")
    return _seal(declared, belongs_to)


def _read_meta(kind: Kind, manifest: Manifest, where: Where) -> model.Meta:
    metadata = manifest.metadata
    spec: Any = getattr(manifest, "spec")  # noqa: B009  every kind has one, of its own type
    return model.Meta(
        id=object_id(kind, metadata.name, metadata.namespace or DEFAULT_NAMESPACE),
        name=spec.name or metadata.name,
        digest="",
        where=where,
        uuid=getattr(spec, "uuid", None),
        allow_destroy=metadata.annotations.allow_destroy,
        renamed_from=metadata.annotations.renamed_from,
    )


def _network(name: str) -> str:
    return object_id(Kind.LOGICAL_NETWORK, name)


def _convert_data_center(meta: model.Meta, spec: DataCenterSpec) -> model.DataCenter:
    return model.DataCenter(
        meta, uuid=spec.uuid, mac_prefix=spec.mac_prefix, retention_ms=spec.removed_disks_retention
    )


def _convert_network(meta: model.Meta, spec: LogicalNetworkSpec, name: str) -> model.LogicalNetwork:
    return model.LogicalNetwork(
        meta, bridge=spec.bridge or derive_bridge(name), mtu=spec.mtu, description=spec.description
    )


def _convert_storage(meta: model.Meta, spec: StorageDomainSpec) -> model.StorageDomain:
    return model.StorageDomain(
        meta,
        uuid=spec.uuid or "",
        type=spec.type,
        path=spec.path,
        vfs_type=spec.vfs_type,
        mount_options=spec.mount_options,
        host=object_id(Kind.HOST, spec.host) if spec.host else None,
        description=spec.description,
        critical_space_bytes=spec.critical_space,
        warning_space_percent=spec.warning_space_percent,
    )


def _convert_cluster(meta: model.Meta, spec: ClusterSpec) -> model.Cluster:
    limits = spec.migration
    return model.Cluster(
        meta,
        networks=tuple(map(_network, spec.networks)),
        cpu_model=spec.cpu_model,
        machine=spec.machine_type,
        memory_overcommit_percent=spec.memory_overcommit_percent,
        count_threads_as_cores=spec.count_threads_as_cores,
        migration=model.MigrationLimits(
            bandwidth_mib_per_s=limits.bandwidth,
            concurrent_per_host=limits.concurrent_per_host,
            downtime_ms=limits.downtime,
            stall_ms=limits.stall_timeout,
            seconds_per_gib=limits.seconds_per_gib,
        ),
        scheduling_policy=object_id(Kind.SCHEDULING_POLICY, spec.scheduling_policy),
        settings=_convert_parameters(spec.scheduling_parameters),
    )


def _convert_policy(meta: model.Meta, spec: SchedulingPolicySpec) -> model.SchedulingPolicy:
    return model.SchedulingPolicy(
        meta,
        filters=spec.filters,
        weights=tuple(model.UnitFactor(one.unit, one.factor) for one in spec.weights),
        balance=spec.balance.unit,
        selector=spec.selector,
        settings=_convert_parameters(spec.parameters),
        description=spec.description,
    )


def _convert_parameters(spec: ParametersSpec) -> tuple[model.Setting, ...]:
    """Those that are given, sorted by name."""
    given = spec.model_dump(by_alias=True, exclude_none=True)
    return tuple(model.Setting(name, value) for name, value in sorted(given.items()))


def _convert_host(meta: model.Meta, spec: HostSpec, cluster: str) -> model.Host:
    return model.Host(
        meta,
        uuid=spec.uuid or "",
        cluster=cluster,
        address=spec.address,
        port=spec.port,
        maintenance=spec.maintenance,
        networks=tuple(model.NetworkAttachment(_network(one.network), one.nic) for one in spec.networks),
    )


def _convert_disk(meta: model.Meta, spec: DiskSpec, storage_domain: str) -> model.Disk:
    return model.Disk(
        meta,
        storage_domain=storage_domain,
        size_bytes=spec.size,
        format=spec.format,
        allocation=spec.allocation,
        description=spec.description,
    )


def _convert_vm(meta: model.Meta, spec: VirtualMachineSpec, cluster: str) -> model.VirtualMachine:
    boot, namespace = spec.boot, namespace_of(meta.id)
    return model.VirtualMachine(
        meta,
        cluster=cluster,
        cpu=convert_cpu(spec.cpu),
        memory_bytes=spec.memory,
        maximum_memory_bytes=spec.memory if spec.max_memory is None else spec.max_memory,
        guaranteed_memory_bytes=spec.memory if spec.guaranteed_memory is None else spec.guaranteed_memory,
        disks=tuple(
            model.DiskAttachment(
                object_id(Kind.DISK, one.disk, namespace), one.bus, one.boot_order, one.read_only
            )
            for one in spec.disks
        ),
        nics=tuple(
            model.Nic(one.name, _network(one.network), one.model, one.mac, one.link) for one in spec.nics
        ),
        firmware=spec.firmware,
        machine=spec.machine_type,
        kernel=KernelBoot(boot.kernel, boot.initrd, boot.cmdline) if boot else None,
        cdrom=_convert_cdrom(spec.cdrom) if spec.cdrom else None,
        serial=spec.serial,
        vnc=_convert_vnc(spec.vnc) if spec.vnc else None,
        balloon=spec.balloon,
        rng=spec.rng,
        tpm=spec.tpm,
        run_policy=_RUN_POLICIES[spec.run_policy],
        restart_policy=_RESTART_POLICIES[spec.restart_policy],
        hosts=tuple(object_id(Kind.HOST, name) for name in spec.placement.hosts),
        mobility=_MOBILITIES[spec.placement.migration],
        priority=spec.priority,
        shutdown_ms=spec.shutdown_timeout,
        description=spec.description,
    )


_RUN_POLICIES: Final = {str(policy): policy for policy in model.RunPolicy}
_RESTART_POLICIES: Final = {str(policy): policy for policy in model.RestartPolicy}
_MOBILITIES: Final = {str(mobility): mobility for mobility in model.Mobility}


def convert_cpu(spec: CpuSpec) -> model.CpuTopology:
    """The topology that a manifest's part declares."""
    most = spec.sockets if spec.max_sockets is None else spec.max_sockets
    return model.CpuTopology(spec.sockets, spec.cores, spec.threads, most, spec.model)


def _convert_cdrom(spec: CdromSpec) -> model.Cdrom:
    domain = object_id(Kind.STORAGE_DOMAIN, spec.storage_domain) if spec.storage_domain else None
    return model.Cdrom(domain, spec.file)


def _convert_vnc(spec: VncSpec) -> model.Vnc:
    password = spec.password
    return model.Vnc(model.SecretRef(password.secret, password.key) if password else None)


def _seal(declared: Declared, belongs_to: str | None) -> Converted:
    """The object with its digest filled in, before anybody else sees it."""
    # Frozen, but not shared yet: making 20 000 objects twice would cost as much as validating them.
    object.__setattr__(declared.meta, "digest", digest_declared(declared, belongs_to))
    return Converted(declared, belongs_to)
