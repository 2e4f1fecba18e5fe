"""The estate: every declaration, and the data center that each object belongs to.

What the checks over several objects look at. Built once by `build`.
"""

from collections.abc import Iterable, Iterator, Mapping
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
    nameless: tuple[Declaration, ...] = ()
    """Malformed objects without a readable name."""

    def every(self) -> Iterator[Declaration]:
        """Every object, well-formed or not."""
        yield from self.declarations.values()
        yield from self.nameless

    def each(self, cls: type[Wanted]) -> Iterator[tuple[Declaration, Wanted]]:
        """Every well-formed object of a class, with its declaration."""
        for declaration in self.declarations.values():
            if isinstance(declaration.declared, cls):
                yield declaration, declaration.declared

    def has_parents(self, declaration: Declaration) -> bool:
        """Whether all that an object belongs to, up to its data center, is well-formed."""
        while declaration.belongs_to is not None:
            parent = self.declarations.get(declaration.belongs_to)
            if parent is None or parent.declared is None:
                return False
            declaration = parent
        return True

    def find(self, identifier: str, cls: type[Wanted]) -> Wanted | None:
        """A well-formed object by id; None if it is not declared or malformed."""
        declaration = self.declarations.get(identifier)
        declared = declaration.declared if declaration else None
        return declared if isinstance(declared, cls) else None


def survey_estate(declarations: Mapping[str, Declaration], nameless: Iterable[Declaration] = ()) -> Estate:
    """The estate of these declarations, with the uuids that follow from the data center filled in."""
    rank = {kind: number for number, kind in enumerate(Kind)}
    ordered = sorted(declarations.values(), key=lambda one: (rank[one.kind], one.id))
    homes: dict[str, str] = {}
    complete: dict[str, Declaration] = {}
    for declaration in ordered:
        complete[declaration.id] = declaration
        home = _home_of(declaration, homes)
        if home is None:
            continue
        homes[declaration.id] = home
        root = complete[home].declared
        if isinstance(root, DataCenter):
            complete[declaration.id] = _identify(declaration, root.uuid)
    strays = tuple(nameless)
    for declaration in strays:
        home = _home_of(declaration, homes)
        if home is not None:
            homes.setdefault(declaration.id, home)
    return Estate(complete, homes, strays)


def _home_of(declaration: Declaration, homes: Mapping[str, str]) -> str | None:
    """The data center of an object, through what it belongs to; a data center is its own."""
    if declaration.kind is Kind.DATA_CENTER:
        return declaration.id
    return homes.get(declaration.belongs_to) if declaration.belongs_to else None


def _identify(declaration: Declaration, data_center: str) -> Declaration:
    declared = declaration.declared
    if isinstance(declared, Host) and not declared.uuid:
        uuid = identity.host_uuid(data_center, declaration.id)
        return replace(declaration, declared=replace(declared, uuid=uuid))
    if isinstance(declared, StorageDomain) and not declared.uuid:
        uuid = identity.storage_uuid(data_center, declaration.id)
        return replace(declaration, declared=replace(declared, uuid=uuid))
    return declaration
