"""Rules on renames and consents: `ostler.dev/renamed-from` and `ostler.dev/allow-destroy`.

Called by `build` once the estate is known.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from reconciler.desired.estate import Estate
from reconciler.desired.findings import Fault, Finding, Spot
from reconciler.desired.malformed import read_annotations, read_uuid
from reconciler.desired.schema.base import ALLOW_DESTROY, RENAMED_FROM
from reconciler.model.names import KINDS, PREFIXES, Kind

_RENAMED: Final = ("metadata", "annotations", RENAMED_FROM)
_NAME: Final = ("metadata", "name")
_CONSENT: Final = ("metadata", "annotations", ALLOW_DESTROY)
_SHOWN: Final = 5
_RECORDED: Final = frozenset({Kind.DISK, Kind.VIRTUAL_MACHINE})
"""Kinds with a record of each object on storage: only these go on under a new name, and need consent to go."""


def check_annotations(estate: Estate) -> Iterator[Fault]:
    """Faults of renames that cannot be followed and of consents that mean nothing."""
    renames: dict[str, str] = {}
    for declaration in estate.declarations.values():
        declared = declaration.declared
        written = declared.meta if declared else read_annotations(declaration.raw)
        uuid = declared.meta.uuid if declared else read_uuid(declaration.raw)
        if written.renamed_from is not None:
            renames[declaration.id] = written.renamed_from
        if written.allow_destroy is not None:
            for finding in _check_consent(declaration.kind, written.allow_destroy, uuid):
                yield declaration.fault(finding)
    yield from _check_renames(estate, renames)


def _check_consent(kind: Kind, consent: str, uuid: str | None) -> Iterator[Finding]:
    if kind not in _RECORDED:
        advice = "remove it; only VMs and disks are removed by consent"
        yield Finding(_CONSENT, f"a {kind} needs no consent to be removed", advice, at_key=True)
    elif uuid is not None and uuid != consent:
        yield Finding(
            _CONSENT, "the consent names another uuid than spec.uuid", f"write {uuid}, or remove it"
        )


def _check_renames(estate: Estate, renames: Mapping[str, str]) -> Iterator[Fault]:
    claimed: dict[str, str] = {}
    cycles = _find_cycles(renames)
    told: set[str] = set()
    for identifier, old in renames.items():
        declaration = estate.declarations[identifier]
        cycle = cycles.get(identifier, ())
        if identifier in told:
            continue
        told.update(cycle)
        finding = _check_rename(declaration.kind, identifier, old, cycle, estate)
        if finding is None and claimed.setdefault(old, identifier) != identifier:
            advice = "only one object goes on as the old one; remove the annotation from the others"
            finding = Finding(_RENAMED, f"{claimed[old]} was renamed from {old} as well", advice)
        if finding is not None:
            still = estate.declarations.get(old)
            yield declaration.fault(finding, Spot(still.document, _NAME) if still else None)


def _check_rename(
    kind: Kind, identifier: str, old: str, cycle: tuple[str, ...], estate: Estate
) -> Finding | None:
    if kind not in _RECORDED:
        advice = "remove it; what has a uuid is known by spec.uuid"
        return Finding(_RENAMED, f"a {kind} has no record to go on with", advice, at_key=True)
    prefix = old.partition("/")[0]
    if KINDS.get(prefix) is not kind:
        return Finding(
            _RENAMED, f"{old} is no {kind}", f"write the old id, such as {PREFIXES[kind]}/old-name"
        )
    if old == identifier:
        return Finding(_RENAMED, "this is the object's own id", "write the old id, or remove the annotation")
    if len(cycle) > 1:
        shown = cycle if len(cycle) <= _SHOWN else (*cycle[:_SHOWN], "…")
        chain = " from ".join((*shown, cycle[0]))
        advice = "remove these annotations; objects cannot swap names in one go"
        return Finding(_RENAMED, f"these renames go in a circle: {chain}", advice)
    if old in estate.declarations:
        return Finding(_RENAMED, f"{old} is still declared", "remove its manifest, or this annotation")
    return None


def _find_cycles(renames: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """For each id on a circle of renames the circle from its first id on; every id is looked at once."""
    cycles: dict[str, tuple[str, ...]] = {}
    done: set[str] = set()
    for start in renames:
        chain: dict[str, None] = {}
        current: str | None = start
        while current is not None and current not in done and current not in chain:
            chain[current] = None
            current = renames.get(current)
        if current in chain:
            ids = list(chain)
            circle = tuple(ids[ids.index(current) :])
            cycles.update(dict.fromkeys(circle, circle))
        done.update(chain)
    return cycles
