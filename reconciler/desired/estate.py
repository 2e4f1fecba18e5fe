"""The estate: every declaration, and the data center that each object belongs to.

What the checks over several objects look at. Built once by `build`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from reconciler.desired.convert import Declared
from reconciler.desired.declarations import Declaration
from reconciler.model import identity
from reconciler.model.desired import DataCenter, Host, StorageDomain
from reconciler.model.names import Kind

Wanted = TypeVar("Wanted", bound=Declared)


@dataclass(frozen=True, slots=True)
class Estate:
    """Declarations by id, parents before what belongs to them; homes: object id to data center id, where known."""

    declarations: Mapping[str, Declaration]
    homes: Mapping[str, str]

    def each(self, cls: type[Wanted]) -> Iterator[tuple[Declaration, Wanted]]:
        """Every well-formed object of a class, with its declaration."""
        for declaration in self.declarations.values():
            if isinstance(declaration.declared, cls):
                yield declaration, declaration.declared

    def find(self, identifier: str, cls: type[Wanted]) -> Wanted | None:
        """A well-formed object by id; None if it is not declared or malformed."""
        declaration = self.declarations.get(identifier)
        declared = declaration.declared if declaration else None
        return declared if isinstance(declared, cls) else None


def survey_estate(declarations: Mapping[str, Declaration]) -> Estate:
    """The estate of these declarations, with the uuids that follow from the data center filled in."""
    rank = {kind: number for number, kind in enumerate(Kind)}
    ordered = sorted(declarations.values(), key=lambda one: (rank[one.kind], one.id))
    homes: dict[str, str] = {}
    complete: dict[str, Declaration] = {}
    for declaration in ordered:
        home = declaration.id if declaration.belongs_to is None else homes.get(declaration.belongs_to)
        complete[declaration.id] = declaration
        if declaration.declared is None or home is None:
            continue
        homes[declaration.id] = home
        root = complete[home].declared
        if isinstance(root, DataCenter):
            complete[declaration.id] = _identify(declaration, root.uuid)
    return Estate(complete, homes)


def _identify(declaration: Declaration, data_center: str) -> Declaration:
    declared = declaration.declared
    if isinstance(declared, Host) and not declared.uuid:
        uuid = identity.host_uuid(data_center, declaration.id)
        return replace(declaration, declared=replace(declared, uuid=uuid))
    if isinstance(declared, StorageDomain) and not declared.uuid:
        uuid = identity.storage_uuid(data_center, declaration.id)
        return replace(declaration, declared=replace(declared, uuid=uuid))
    return declaration
