"""References between objects: every one has to lead to an object of the same data center.

Called by `build` once all documents were read.
"""

from collections.abc import Iterator, Mapping

from reconciler.desired.declarations import Declaration
from reconciler.desired.estate import Estate
from reconciler.desired.findings import Fault, Finding
from reconciler.desired.malformed import list_raw_references
from reconciler.desired.paths import Path
from reconciler.desired.suggestions import Suggestions
from reconciler.model.names import NAMESPACED, kind_of, name_of, namespace_of
from reconciler.model.references import list_references


def check_references(estate: Estate, suggestions: Suggestions) -> Iterator[Fault]:
    """Faults for references that lead nowhere or into another data center."""
    names: dict[str, set[str]] = {}
    declarations, homes = estate.declarations, estate.homes
    for declaration in estate.every():
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
    return list_raw_references(declaration.kind, declaration.raw, declaration.namespace)


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
