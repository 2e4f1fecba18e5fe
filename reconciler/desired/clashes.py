"""Things that only one object may have: names, uuids, MACs, disks, bridges, addresses, places on storage.

Called by `build`. Of two that clash the second in order of ids gets the problem, which names the first and its place.
"""

from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from reconciler.desired.declarations import Declaration
from reconciler.desired.estate import Estate
from reconciler.desired.findings import Fault, Finding, Spot
from reconciler.desired.malformed import list_raw_references, read_macs, read_shown_name, read_uuid
from reconciler.desired.paths import Path
from reconciler.model.desired import Host, LogicalNetwork, StorageDomain, VirtualMachine
from reconciler.model.names import Kind, kind_of, name_of


class Claim(NamedTuple):
    """Something that an object takes for itself, and the field by which it does."""

    key: Hashable
    owner: Declaration
    path: Path


def check_clashes(estate: Estate) -> Iterator[Fault]:
    """Faults of objects that claim the same thing."""
    yield from _compare(_claim_uuids(estate), "has the same uuid", "every object has its own")
    yield from _compare(
        _claim_names(estate), "has the same name in this data center", "choose another spec.name"
    )
    yield from _compare(
        _claim_macs(estate),
        "has the same MAC address",
        "give each card its own, or none to have one assigned",
    )
    yield from _compare(_claim_disks(estate), "attaches the same disk", "give each VM a disk of its own")
    yield from _compare(
        _claim_bridges(estate), "has the same bridge", "give each network its own with the field bridge"
    )
    yield from _compare(
        _claim_addresses(estate), "has the same address and port", "each host has an agent of its own"
    )
    yield from _compare(
        _claim_places(estate),
        "is the same place",
        "two storage domains in one place would overwrite each other",
    )
    yield from _check_uplinks(estate)


def _compare(claims: Iterable[Claim], summary: str, detail: str) -> Iterator[Fault]:
    first: dict[Hashable, Claim] = {}
    for claim in claims:
        other = first.setdefault(claim.key, claim)
        if other is not claim:
            owner = other.owner.id or f"a {other.owner.kind} without a name"
            finding = Finding(claim.path, f"{owner} {summary}", detail)
            yield claim.owner.fault(finding, Spot(other.owner.document, other.path))


def _claim_uuids(estate: Estate) -> Iterator[Claim]:
    for declaration in estate.every():
        declared = declaration.declared
        if declared is None:
            uuid = read_uuid(declaration.raw)
        else:
            uuid = declared.uuid if isinstance(declared, Host | StorageDomain) else declared.meta.uuid
        if uuid:
            yield Claim(uuid, declaration, ("spec", "uuid"))


def _claim_names(estate: Estate) -> Iterator[Claim]:
    """Names of metadata first: they differ but for the namespace, and only a spec.name can clash with them."""
    chosen: list[Claim] = []
    taken: set[Hashable] = set()
    for declaration in estate.declarations.values():
        declared = declaration.declared
        name = declared.meta.name if declared else read_shown_name(declaration.raw)
        if name is None:
            continue
        key = (estate.homes.get(declaration.id), declaration.kind, name)
        if name != name_of(declaration.id):
            chosen.append(Claim(key, declaration, ("spec", "name")))
        elif key not in taken:
            taken.add(key)
            yield Claim(key, declaration, ("metadata", "name"))
    yield from chosen


def _claim_macs(estate: Estate) -> Iterator[Claim]:
    for declaration in _machines(estate):
        home = estate.homes.get(declaration.id)
        for path, mac in _macs_of(declaration):
            yield Claim((home, mac), declaration, path)


def _macs_of(declaration: Declaration) -> Iterator[tuple[Path, str]]:
    vm = declaration.declared
    if not isinstance(vm, VirtualMachine):
        yield from read_macs(declaration.raw)
        return
    for index, nic in enumerate(vm.nics):
        if nic.mac is not None:
            yield ("spec", "nics", index, "mac"), nic.mac


def _claim_disks(estate: Estate) -> Iterator[Claim]:
    """One claim a VM and disk: that a VM names a disk twice is said by `machines`."""
    for declaration in _machines(estate):
        places: dict[str, Path] = {}
        for path, disk in _disks_of(declaration):
            places.setdefault(disk, path)
        for disk, path in places.items():
            yield Claim(disk, declaration, path)


def _disks_of(declaration: Declaration) -> Iterator[tuple[Path, str]]:
    vm = declaration.declared
    if isinstance(vm, VirtualMachine):
        for index, attachment in enumerate(vm.disks):
            yield ("spec", "disks", index, "disk"), attachment.disk
        return
    for path, target in list_raw_references(declaration.kind, declaration.raw, declaration.namespace):
        if kind_of(target) is Kind.DISK:
            yield path, target


def _machines(estate: Estate) -> Iterator[Declaration]:
    """Every VM, well-formed or not."""
    return (one for one in estate.every() if one.kind is Kind.VIRTUAL_MACHINE)


def _claim_bridges(estate: Estate) -> Iterator[Claim]:
    for declaration, network in estate.each(LogicalNetwork):
        yield Claim((estate.homes.get(declaration.id), network.bridge), declaration, ("spec", "bridge"))


def _claim_addresses(estate: Estate) -> Iterator[Claim]:
    for declaration, host in estate.each(Host):
        yield Claim((host.address, host.port), declaration, ("spec", "address"))


def _claim_places(estate: Estate) -> Iterator[Claim]:
    for declaration, domain in estate.each(StorageDomain):
        owner = domain.host or estate.homes.get(declaration.id)
        yield Claim((owner, domain.path), declaration, ("spec", "path"))


def _check_uplinks(estate: Estate) -> Iterator[Fault]:
    """A NIC cannot carry a bridge of its own name."""
    bridges = {
        (estate.homes.get(one.id), network.bridge): one.id for one, network in estate.each(LogicalNetwork)
    }
    for declaration, host in estate.each(Host):
        for index, attachment in enumerate(host.networks):
            network = bridges.get((estate.homes.get(declaration.id), attachment.nic or ""))
            if network is not None:
                summary = f"{attachment.nic} is the bridge of {network}, not a NIC"
                advice = f"name a NIC of the host, or give {network} another bridge"
                yield declaration.fault(Finding(("spec", "networks", index, "nic"), summary, advice))
