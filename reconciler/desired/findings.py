"""Faults of objects before they know their file and line, which is worked out at the end, in order of documents.

A place costs parsing its document again, and documents of one file may share their text: asked for in any
order, two files that clash in everything would be parsed for every clash.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from reconciler.desired.paths import Path, format_path
from reconciler.desired.read import Document, shown
from reconciler.problems import Problem, Where

_LONGEST_FIELD: Final = 200


class Finding(NamedTuple):
    """What is wrong at a field of some object. `at_key`: the key itself is wrong or lacks something, not its value."""

    path: Path
    summary: str
    detail: str
    at_key: bool = False


class Spot(NamedTuple):
    """A field of a document."""

    document: Document
    path: Path
    at_key: bool = False


class Fault(NamedTuple):
    """A finding about an object. `other` is a place that the detail goes on to name."""

    finding: Finding
    object: str
    document: Document
    other: Spot | None = None

    @property
    def spot(self) -> Spot:
        """Where the fault is."""
        return Spot(self.document, self.finding.path, self.finding.at_key)


def place_faults(faults: Iterable[Fault], documents: Sequence[Document]) -> list[Problem]:
    """The problems that faults in these documents are."""
    kept = list(faults)
    spots = [fault.spot for fault in kept] + [fault.other for fault in kept if fault.other]
    places = dict(
        zip(((id(spot.document), spot[1:]) for spot in spots), locate(spots, documents), strict=True)
    )
    return [_place_fault(fault, places) for fault in kept]


def locate(spots: Sequence[Spot], documents: Sequence[Document]) -> list[Where]:
    """The places of fields, each text parsed about once however the spots are ordered."""
    order = {id(document): number for number, document in enumerate(documents)} if spots else {}
    places: dict[int, Where] = {}
    for index in sorted(range(len(spots)), key=lambda index: order[id(spots[index].document)]):
        document, path, at_key = spots[index]
        places[index] = document.where(path) if at_key else document.where_value(path)
    return [places[index] for index in range(len(spots))]


def _place_fault(fault: Fault, places: Mapping[tuple[int, tuple[Path, bool]], Where]) -> Problem:
    finding, other, spot = fault.finding, fault.other, fault.spot
    detail = finding.detail
    if other is not None:
        detail = f"{detail}; the other is at {places[id(other.document), other[1:]]}"
    return Problem(
        summary=finding.summary,
        detail=detail,
        object=fault.object,
        field=shown(format_path(finding.path), _LONGEST_FIELD),
        where=places[id(spot.document), spot[1:]],
    )
