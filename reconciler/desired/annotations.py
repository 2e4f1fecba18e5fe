"""Rules on renames and consents: `ostler.dev/renamed-from` and `ostler.dev/allow-destroy`.

Called by `build` once the estate is known.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from reconciler.desired.estate import Estate
from reconciler.desired.findings import Finding
from reconciler.desired.schema.base import ALLOW_DESTROY, RENAMED_FROM
from reconciler.model.names import KINDS, PREFIXES, Kind
from reconciler.problems import Problem

_RENAMED: Final = ("metadata", "annotations", RENAMED_FROM)
_CONSENT: Final = ("metadata", "annotations", ALLOW_DESTROY)
_DESTROYED: Final = frozenset({Kind.DISK, Kind.VIRTUAL_MACHINE})


def check_annotations(estate: Estate) -> Iterator[Problem]:
    """Problems of renames that cannot be followed and of consents that mean nothing."""
    renames: dict[str, str] = {}
    for declaration in estate.declarations.values():
        if declaration.declared is None:
            continue
        meta = declaration.declared.meta
        if meta.renamed_from is not None:
            renames[declaration.id] = meta.renamed_from
        if meta.allow_destroy is not None:
            for finding in _check_consent(declaration.kind, meta.allow_destroy, meta.uuid):
                yield declaration.problem(finding)
    yield from _check_renames(estate, renames)


def _check_consent(kind: Kind, consent: str, uuid: str | None) -> Iterator[Finding]:
    if kind not in _DESTROYED:
        advice = "remove it; only VMs and disks are removed by consent"
        yield Finding(_CONSENT, f"a {kind} needs no consent to be removed", advice, at_key=True)
    elif uuid is not None and uuid != consent:
        yield Finding(
            _CONSENT, "the consent names another uuid than spec.uuid", f"write {uuid}, or remove it"
        )


def _check_renames(estate: Estate, renames: Mapping[str, str]) -> Iterator[Problem]:
    claimed: dict[str, str] = {}
    told: set[str] = set()
    for identifier, old in renames.items():
        declaration = estate.declarations[identifier]
        cycle = _find_cycle(identifier, renames)
        if cycle and not told.isdisjoint(cycle):
            continue
        told.update(cycle)
        finding = _check_rename(declaration.kind, identifier, old, cycle, estate)
        if finding is None and claimed.setdefault(old, identifier) != identifier:
            advice = "only one object goes on as the old one; remove the annotation from the others"
            finding = Finding(_RENAMED, f"{claimed[old]} was renamed from {old} as well", advice)
        if finding is not None:
            yield declaration.problem(finding)


def _check_rename(
    kind: Kind, identifier: str, old: str, cycle: tuple[str, ...], estate: Estate
) -> Finding | None:
    prefix = old.partition("/")[0]
    if KINDS.get(prefix) is not kind:
        return Finding(
            _RENAMED, f"{old} is no {kind}", f"write the old id, such as {PREFIXES[kind]}/old-name"
        )
    if old == identifier:
        return Finding(_RENAMED, "this is the object's own id", "write the old id, or remove the annotation")
    if cycle:
        chain = " from ".join((*cycle, cycle[0]))
        return Finding(_RENAMED, f"these renames go in a circle: {chain}", "remove all but the last of them")
    if old in estate.declarations:
        at = estate.declarations[old].document.where_value(("metadata", "name"))
        advice = f"remove its manifest at {at}, or this annotation"
        return Finding(_RENAMED, f"{old} is still declared", advice)
    return None


def _find_cycle(start: str, renames: Mapping[str, str]) -> tuple[str, ...]:
    """The ids on the circle of renames through `start`, from there on; empty where there is none."""
    chain = [start]
    seen = {start}
    while (old := renames.get(chain[-1])) is not None:
        if old == start:
            return tuple(chain) if len(chain) > 1 else ()
        if old in seen:
            return ()
        seen.add(old)
        chain.append(old)
    return ()
