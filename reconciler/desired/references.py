"""References between objects: every one has to lead to an object of the same data center.

Called by `build` once all documents were read.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from reconciler.desired.convert import Declared
from reconciler.desired.declarations import Declaration
from reconciler.desired.estate import Estate
from reconciler.desired.findings import Fault, Finding
from reconciler.desired.paths import Path
from reconciler.desired.suggestions import Suggestions
from reconciler.model.desired import Cluster, Disk, Host, LogicalNetwork, StorageDomain, VirtualMachine
from reconciler.model.names import NAMESPACED, kind_of, name_of, namespace_of

_PARENT_FIELDS: Final[dict[type, Path]] = {
    LogicalNetwork: ("spec", "dataCenter"),
    StorageDomain: ("spec", "dataCenter"),
    Cluster: ("spec", "dataCenter"),
    Host: ("spec", "cluster"),
    Disk: ("spec", "storageDomain"),
    VirtualMachine: ("spec", "cluster"),
}


def check_references(estate: Estate, suggestions: Suggestions) -> Iterator[Fault]:
    """Faults for references that lead nowhere or into another data center."""
    names: dict[str, set[str]] = {}
    declarations, homes = estate.declarations, estate.homes
    for declaration in declarations.values():
        if declaration.declared is None:
            continue
        home = homes.get(declaration.id)
        for path, target in list_references(declaration.declared, declaration.belongs_to):
            if target not in declarations:
                names = names or _names_by_scope(declarations)
                yield declaration.fault(_dangling(path, target, names, suggestions))
            elif home and homes.get(target, home) != home:
                yield declaration.fault(_elsewhere(path, target, home, homes[target]))


def list_references(declared: Declared, belongs_to: str | None) -> Iterator[tuple[Path, str]]:
    """Each field that names another object, and the id that it names."""
    if belongs_to is not None:
        yield _PARENT_FIELDS[type(declared)], belongs_to
    if isinstance(declared, VirtualMachine):
        yield from _references_of_vm(declared)
    elif isinstance(declared, Cluster):
        for index, network in enumerate(declared.networks):
            yield ("spec", "networks", index), network
    elif isinstance(declared, Host):
        for index, attachment in enumerate(declared.networks):
            yield ("spec", "networks", index, "network"), attachment.network
    elif isinstance(declared, StorageDomain) and declared.host:
        yield ("spec", "host"), declared.host


def _references_of_vm(vm: VirtualMachine) -> Iterator[tuple[Path, str]]:
    for index, disk in enumerate(vm.disks):
        yield ("spec", "disks", index, "disk"), disk.disk
    for index, nic in enumerate(vm.nics):
        yield ("spec", "nics", index, "network"), nic.network
    for index, host in enumerate(vm.hosts):
        yield ("spec", "placement", "hosts", index), host
    if vm.cdrom and vm.cdrom.storage_domain:
        yield ("spec", "cdrom", "storageDomain"), vm.cdrom.storage_domain


def _scope(identifier: str) -> str:
    """The set of names that an id is one of: its kind's prefix, and the namespace of kinds that have one."""
    return identifier.rpartition("/")[0]


def _names_by_scope(declarations: Mapping[str, Declaration]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for identifier in declarations:
        names.setdefault(_scope(identifier), set()).add(name_of(identifier))
    return names


def _dangling(path: Path, target: str, names: Mapping[str, set[str]], suggestions: Suggestions) -> Finding:
    kind, scope, name = kind_of(target), _scope(target), name_of(target)
    summary = f"there is no {kind} {name}"
    near = suggestions.near_miss(name, names.get(scope, ()), scope)
    if near:
        return Finding(path, summary, f"did you mean {near}?")
    if kind in NAMESPACED:
        other = next((one for one in names if kind_of(f"{one}/") is kind and name in names[one]), None)
        if other is not None:
            where = namespace_of(f"{other}/{name}")
            advice = f"{other}/{name} lies in namespace {where}; declare both in one namespace"
            return Finding(path, summary, advice)
    known = names.get(scope, set())
    if 0 < len(known) <= 5:
        return Finding(path, summary, f"declare {target}, or write one of {', '.join(sorted(known))}")
    return Finding(path, summary, f"declare {target}, or correct the name")


def _elsewhere(path: Path, target: str, home: str, other: str) -> Finding:
    return Finding(
        path,
        f"{target} belongs to {other}, this object to {home}",
        "data centers share nothing; refer to an object of the same data center",
    )
