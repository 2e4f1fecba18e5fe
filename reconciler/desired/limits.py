"""Rules on one object and on what it refers to: limits, fields that go together, membership in clusters.

Called by `build` once the estate is known.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from reconciler.desired.convert import Declared, convert_cpu
from reconciler.desired.declarations import Declaration
from reconciler.desired.estate import Estate
from reconciler.desired.findings import Fault, Finding
from reconciler.desired.machines import MOST_VCPUS, check_vcpus, check_vm
from reconciler.desired.malformed import read_cpu, read_shown_name, read_uuid
from reconciler.desired.paths import Path
from reconciler.desired.schema.data_center import CENTER_NAMES, is_center_name
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
from reconciler.model.names import Kind, name_of

MOST_HOSTS: Final = 250
"""Hosts in a data center: host ids of sanlock's lockspace; oVirt's MaxNumberOfHostsInStoragePool."""
NIL: Final = "00000000-0000-0000-0000-000000000000"
_RESERVED_BRIDGES: Final = frozenset({"all", "default", "lo"})


def check_limits(estate: Estate) -> Iterator[Fault]:
    """Faults of objects taken one by one, with what they refer to at hand."""
    for declaration in estate.every():
        declared = declaration.declared
        if declared is None:
            findings, uuid = _check_malformed(declaration), read_uuid(declaration.raw)
        else:
            findings, uuid = _CHECKS[type(declared)](declared, estate), declared.meta.uuid
        yield from map(declaration.fault, findings)
        if uuid == NIL:
            advice = "write the uuid that the object has, or that `uuidgen` makes for a new data center"
            yield declaration.fault(Finding(("spec", "uuid"), "this uuid names nothing", advice))


def _check_malformed(declaration: Declaration) -> Iterator[Finding]:
    """The limits that rest on one field alone, of an object with an error elsewhere."""
    name = read_shown_name({"metadata": declaration.raw.get("metadata")})
    if declaration.kind is Kind.LOGICAL_NETWORK and name:
        yield from _check_network_name(name)
    cpu = read_cpu(declaration.raw) if declaration.kind is Kind.VIRTUAL_MACHINE else None
    if cpu is not None:
        yield from check_vcpus(convert_cpu(cpu), MOST_VCPUS)


def _check_data_center(data_center: DataCenter, estate: Estate) -> Iterator[Finding]:
    name = data_center.meta.name
    if name == name_of(data_center.meta.id) and not is_center_name(name):
        advice = f"choose another, or give it one for people with spec.name: {CENTER_NAMES}"
        yield Finding(("metadata", "name"), f"a data center cannot be called {name}", advice)
    hosts = sum(1 for one, _ in estate.each(Host) if estate.homes.get(one.id) == data_center.meta.id)
    if hosts > MOST_HOSTS:
        summary = f"{hosts} hosts are declared in this data center, which takes {MOST_HOSTS}"
        yield Finding((), summary, "move clusters to another data center", at_key=True)


def _check_network(network: LogicalNetwork, _estate: Estate) -> Iterator[Finding]:
    name, bridge = name_of(network.meta.id), network.bridge
    yield from _check_network_name(name)
    if not name.startswith("bond") and (bridge.startswith("bond") or bridge in _RESERVED_BRIDGES):
        advice = "choose another with the field bridge"
        yield Finding(("spec", "bridge"), f"a bridge cannot be called {bridge}", advice)


def _check_network_name(name: str) -> Iterator[Finding]:
    if name.startswith("bond"):
        yield Finding(("metadata", "name"), "a network's name cannot begin with bond", "choose another name")


def _check_storage(domain: StorageDomain, _estate: Estate) -> Iterator[Finding]:
    if domain.type == "localfs":
        if domain.host is None:
            advice = "name the host that has the directory"
            yield Finding(("spec", "host"), "a localfs storage domain needs a host", advice)
        if not domain.path.startswith("/"):
            advice = "begin it with '/', or write type: posixfs"
            yield Finding(("spec", "path"), "a localfs storage domain is a directory", advice)
        if domain.vfs_type is not None:
            yield Finding(("spec", "vfsType"), "localfs is not mounted", "remove it, or write type: posixfs")
        if domain.mount_options:
            yield Finding(
                ("spec", "mountOptions"), "localfs is not mounted", "remove it, or write type: posixfs"
            )
        return
    if domain.host is not None:
        advice = "remove it, or write type: localfs"
        yield Finding(("spec", "host"), "a posixfs storage domain belongs to every host", advice)
    if domain.vfs_type is None:
        advice = "write the file system's type, or none for a bind mount"
        yield Finding(("spec", "vfsType"), "a posixfs storage domain needs a vfsType", advice)
    if not domain.path.startswith("/") and (
        domain.vfs_type == "none" or "bind" in domain.mount_options.split(",")
    ):
        advice = "begin it with '/', or name the file system's type in vfsType"
        yield Finding(("spec", "path"), "a bind mount needs an absolute path", advice)


def _check_cluster(cluster: Cluster, _estate: Estate) -> Iterator[Finding]:
    yield from _find_repeats(cluster.networks, ("spec", "networks"), "is listed")


def _find_repeats(names: tuple[str, ...], path: Path, verb: str) -> Iterator[Finding]:
    if len(set(names)) == len(names):
        return
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield Finding((*path, index), f"{name_of(name)} {verb} twice", "remove one of the two")
        seen.add(name)


def _check_policy(_policy: SchedulingPolicy, _estate: Estate) -> Iterator[Finding]:
    """Its units and parameters are for `scheduling`."""
    return iter(())


def _check_host(host: Host, estate: Estate) -> Iterator[Finding]:
    cluster = estate.find(host.cluster, Cluster)
    networks, nics = Counter[str](), Counter[str]()
    for index, attachment in enumerate(host.networks):
        here: Path = ("spec", "networks", index)
        networks[attachment.network] += 1
        if networks[attachment.network] > 1:
            summary = f"network {name_of(attachment.network)} is attached twice"
            yield Finding((*here, "network"), summary, "remove one of the two")
        nics[attachment.nic or ""] += 1
        if attachment.nic and nics[attachment.nic] > 1:
            advice = "give each network a NIC of its own"
            yield Finding((*here, "nic"), f"NIC {attachment.nic} carries two networks", advice)
        if cluster:
            yield from _check_member(attachment.network, (*here, "network"), cluster, estate)


def _check_member(network: str, path: Path, cluster: Cluster, estate: Estate) -> Iterator[Finding]:
    if network not in cluster.networks and network in estate.declarations:
        summary = f"{cluster.meta.id} does not have network {name_of(network)}"
        yield Finding(
            path, summary, f"add it to spec.networks of {cluster.meta.id}, or use one that is there"
        )


def _check_disk(disk: Disk, _estate: Estate) -> Iterator[Finding]:
    if disk.size_bytes == 0:
        yield Finding(("spec", "size"), "a disk needs a size", "write such as 10Gi")


def _check_machine(vm: VirtualMachine, estate: Estate) -> Iterator[Finding]:
    cluster = estate.find(vm.cluster, Cluster)
    yield from check_vm(vm, vm.machine or (cluster.machine if cluster else None))
    if cluster is not None:
        for index, nic in enumerate(vm.nics):
            yield from _check_member(nic.network, ("spec", "nics", index, "network"), cluster, estate)
    if vm.hosts:
        yield from _check_pinning(vm, estate)
    yield from _check_local_disks(vm, estate)


def _check_pinning(vm: VirtualMachine, estate: Estate) -> Iterator[Finding]:
    path: Path = ("spec", "placement", "hosts")
    yield from _find_repeats(vm.hosts, path, "is named")
    for index, name in enumerate(vm.hosts):
        host = estate.find(name, Host)
        if host is not None and host.cluster != vm.cluster:
            summary = f"{name} belongs to {host.cluster}, this VM to {vm.cluster}"
            yield Finding((*path, index), summary, "name hosts of the VM's own cluster")


def _check_local_disks(vm: VirtualMachine, estate: Estate) -> Iterator[Finding]:
    """A VM with a disk in a host's own directory can run on that host only."""
    chosen: str | None = None
    for index, attachment in enumerate(vm.disks):
        disk = estate.find(attachment.disk, Disk)
        domain = estate.find(disk.storage_domain, StorageDomain) if disk else None
        host = estate.find(domain.host, Host) if domain and domain.host else None
        if domain is None or host is None:
            continue
        here, name = ("spec", "disks", index, "disk"), host.meta.id
        local = f"the disk lies on {name} alone ({domain.meta.id})"
        if host.cluster != vm.cluster:
            yield Finding(
                here,
                f"{local}, which is not of {vm.cluster}",
                "move the VM to that cluster, or use another disk",
            )
        elif vm.hosts and name not in vm.hosts:
            yield Finding(
                here, f"{local}, where this VM may not run", f"add {name_of(name)} to placement.hosts"
            )
        elif chosen not in (None, name):
            yield Finding(
                here, f"{local}, another disk on {chosen} alone", "keep all local disks of a VM on one host"
            )
        chosen = chosen or name


_CHECKS: Final[dict[type[Declared], Callable[[Any, Estate], Iterator[Finding]]]] = {
    DataCenter: _check_data_center,
    LogicalNetwork: _check_network,
    StorageDomain: _check_storage,
    SchedulingPolicy: _check_policy,
    Cluster: _check_cluster,
    Host: _check_host,
    Disk: _check_disk,
    VirtualMachine: _check_machine,
}
