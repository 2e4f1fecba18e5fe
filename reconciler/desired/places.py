"""Where declared fields stand: object id and field path to file, line and column, worked out when asked.

Called by later stages' edges, for messages that name file and line of what they speak of.
"""

from collections.abc import Iterable, Sequence

from reconciler.desired.declarations import name_document
from reconciler.desired.findings import Spot, locate
from reconciler.desired.paths import parse_path
from reconciler.desired.read import Document
from reconciler.problems import Where


class Places:
    """Answers for the documents of one reading; of two that declare one object the first counts."""

    __slots__ = ("_documents", "_index")

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = tuple(documents)
        self._index: dict[str, Document] | None = None

    def find(self, identifier: str, field: str = "") -> Where | None:
        """The place of a field such as `spec.nics[0].mac` of an object, or of its nearest ancestor that is written.

        None where no document declares the object.
        """
        document = self._find_document(identifier)
        return document.where(parse_path(field)) if document else None

    def find_all(self, fields: Sequence[tuple[str, str]]) -> list[Where | None]:
        """The places of many fields, given as object id and field, with each text parsed about once."""
        spots = {
            number: Spot(document, parse_path(field), at_key=True)
            for number, (identifier, field) in enumerate(fields)
            if (document := self._find_document(identifier)) is not None
        }
        found = dict(zip(spots, locate(list(spots.values()), self._documents), strict=True))
        return [found.get(number) for number in range(len(fields))]

    def _find_document(self, identifier: str) -> Document | None:
        if self._index is None:
            self._index = {}
            for document in self._documents:
                named = name_document(document)
                if named is not None:
                    self._index.setdefault(named, document)
        return self._index.get(identifier)
