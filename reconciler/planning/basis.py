"""What a plan rests on: the declarations of the objects that it touches and of what they reference, and the
last order of each. Admission compares it with a fresh pass; statistics are never in it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from reconciler.model.desired import (
    Cluster,
    Desired,
    Disk,
    Host,
    LogicalNetwork,
    Meta,
    StorageDomain,
    VirtualMachine,
)
from reconciler.model.observed import Observed
from reconciler.model.plan import Basis, Step

NOT_DECLARED = "-"
Declared = Cluster | Disk | Host | LogicalNetwork | StorageDomain | VirtualMachine


def basis_of(desired: Desired, observed: Observed, steps: Sequence[Step]) -> Basis:
    """Digests of every touched or referenced object, `-` for one that no manifest declares; keys of last orders."""
    touched = {step.object for step in steps} | {step.host for step in steps}
    names = sorted(touched | {other for name in touched for other in references_of(desired, name)})
    metas = all_metas(desired)
    return Basis(
        desired={name: metas[name].digest if name in metas else NOT_DECLARED for name in names},
        last_orders={name: observed.last_orders.get(name, "") for name in sorted(touched)},
    )


def references_of(desired: Desired, name: str) -> Iterator[str]:
    """Objects that a declared object names, directly or through its disks."""
    vm = desired.vms.get(name)
    if vm is not None:
        yield vm.cluster
        yield from vm.hosts
        yield from (nic.network for nic in vm.nics)
        for one in vm.disks:
            yield one.disk
            yield desired.disks[one.disk].storage_domain
        return
    disk, host = desired.disks.get(name), desired.hosts.get(name)
    if disk is not None:
        yield disk.storage_domain
    if host is not None:
        yield host.cluster
        yield from (one.network for one in host.networks)
        yield from desired.clusters[host.cluster].networks


def find_meta(desired: Desired, name: str) -> Meta | None:
    """One declared object's meta by id, None if no manifest declares it."""
    if name == desired.data_center.meta.id:
        return desired.data_center.meta
    groups: tuple[Mapping[str, Declared], ...] = (
        desired.vms, desired.disks, desired.hosts, desired.clusters, desired.networks, desired.storage_domains,
    )  # fmt: skip
    found = next((group[name] for group in groups if name in group), None)
    return found.meta if found is not None else None


def all_metas(desired: Desired) -> dict[str, Meta]:
    """Every declared object's meta by id."""
    groups: Iterable[Iterable[object]] = (
        (desired.data_center,),
        desired.clusters.values(),
        desired.hosts.values(),
        desired.networks.values(),
        desired.storage_domains.values(),
        desired.disks.values(),
        desired.vms.values(),
    )
    return {one.meta.id: one.meta for group in groups for one in group}  # type: ignore[attr-defined]  # all have meta
