"""References between objects: every one has to lead to an object of the same data center.

Called by `build` once all documents were read.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from reconciler.desired.convert import Declared
from reconciler.desired.declarations import Declaration
from reconciler.desired.estate import Estate
from reconciler.desired.findings import Fault, Finding
from reconciler.desired.paths import Path
from reconciler.desired.schema.scalars import RESOURCE_NAME
from reconciler.desired.suggestions import Suggestions
from reconciler.model.desired import Cluster, Disk, Host, LogicalNetwork, StorageDomain, VirtualMachine
from reconciler.model.names import NAMESPACED, Kind, kind_of, name_of, namespace_of, object_id

_NAME: Final = re.compile(RESOURCE_NAME)
_PARENT_FIELDS: Final[dict[type, Path]] = {
    LogicalNetwork: ("spec", "dataCenter"),
    StorageDomain: ("spec", "dataCenter"),
    Cluster: ("spec", "dataCenter"),
    Host: ("spec", "cluster"),
    Disk: ("spec", "storageDomain"),
    VirtualMachine: ("spec", "cluster"),
}

RAW_FIELDS: Final[dict[Kind, tuple[tuple[Path, Kind], ...]]] = {
    Kind.LOGICAL_NETWORK: ((("spec", "dataCenter"), Kind.DATA_CENTER),),
    Kind.STORAGE_DOMAIN: ((("spec", "dataCenter"), Kind.DATA_CENTER), (("spec", "host"), Kind.HOST)),
    Kind.CLUSTER: (
        (("spec", "dataCenter"), Kind.DATA_CENTER),
        (("spec", "networks", "*"), Kind.LOGICAL_NETWORK),
    ),
    Kind.HOST: (
        (("spec", "cluster"), Kind.CLUSTER),
        (("spec", "networks", "*", "network"), Kind.LOGICAL_NETWORK),
    ),
    Kind.DISK: ((("spec", "storageDomain"), Kind.STORAGE_DOMAIN),),
    Kind.VIRTUAL_MACHINE: (
        (("spec", "cluster"), Kind.CLUSTER),
        (("spec", "disks", "*", "disk"), Kind.DISK),
        (("spec", "nics", "*", "network"), Kind.LOGICAL_NETWORK),
        (("spec", "placement", "hosts", "*"), Kind.HOST),
        (("spec", "cdrom", "storageDomain"), Kind.STORAGE_DOMAIN),
    ),
}
"""The same fields in manifests that are malformed elsewhere: one error does not hide another."""


def check_references(estate: Estate, suggestions: Suggestions) -> Iterator[Fault]:
    """Faults for references that lead nowhere or into another data center."""
    names: dict[str, set[str]] = {}
    declarations, homes = estate.declarations, estate.homes
    for declaration in declarations.values():
        home = homes.get(declaration.id)
        for path, target in _references_of(declaration):
            if target not in declarations:
                names = names or _names_by_scope(declarations)
                yield declaration.fault(_dangling(path, target, names, suggestions))
            elif home and homes.get(target, home) != home:
                yield declaration.fault(_elsewhere(path, target, home, homes[target]))


def _references_of(declaration: Declaration) -> Iterator[tuple[Path, str]]:
    if declaration.declared is not None:
        return list_references(declaration.declared, declaration.belongs_to)
    document = declaration.document
    value = document.value if document.sound else None
    return list_raw_references(declaration.kind, value, namespace_of(declaration.id))


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


def list_raw_references(kind: Kind, value: object, namespace: str) -> Iterator[tuple[Path, str]]:
    """The same of a manifest as it was read, malformed or not: what can be read as a name is one."""
    for pattern, target in RAW_FIELDS.get(kind, ()):
        for path, name in _expand(value, pattern):
            if isinstance(name, str) and len(name) <= 63 and _NAME.fullmatch(name):
                yield path, object_id(target, name, namespace)


def _expand(value: object, pattern: Path, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """The values at a path in which `*` stands for each item of a list."""
    if not pattern:
        yield path, value
        return
    key, rest = pattern[0], pattern[1:]
    if key == "*" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _expand(item, rest, (*path, index))
    elif isinstance(value, dict) and key in value:
        yield from _expand(value[key], rest, (*path, key))


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
