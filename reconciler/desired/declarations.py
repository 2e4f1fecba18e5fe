"""Documents turned into declarations: object id, place and object of each, with every fault of each document.

A malformed document still declares its name, so that references to it are no faults of others.
Called by `build`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from reconciler.desired.convert import Declared, convert_manifest
from reconciler.desired.findings import Fault, Finding, Spot
from reconciler.desired.read import Document, Value, shown
from reconciler.desired.schema.base import ALLOW_DESTROY, API_GROUP, RENAMED_FROM
from reconciler.desired.schema.kinds import KIND_SCHEMAS
from reconciler.desired.schema.scalars import NAMESPACE, RESOURCE_NAME
from reconciler.desired.suggestions import Suggestions, offer
from reconciler.desired.violations import explain_strays, explain_violations
from reconciler.model.names import DEFAULT_NAMESPACE, NAMESPACED, PREFIXES, Kind, object_id

_KINDS: Final = {str(kind): kind for kind in Kind}
_NAME: Final = re.compile(RESOURCE_NAME)
_NAMESPACE: Final = re.compile(NAMESPACE)
_NAME_PATH: Final = ("metadata", "name")


@dataclass(frozen=True, slots=True)
class Declaration:
    """One object as declared. `declared` is None for a malformed one, whose name alone is known."""

    id: str
    kind: Kind
    document: Document
    declared: Declared | None = None
    belongs_to: str | None = None

    def fault(self, finding: Finding, other: Spot | None = None) -> Fault:
        """A finding about this object; other is a place that it goes on to name."""
        return Fault(finding, self.id, self.document, other)


@dataclass(slots=True)
class Declarations:
    """Declarations by object id, in the order read, and the faults met on the way."""

    by_id: dict[str, Declaration] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read_declarations(documents: Iterable[Document], suggestions: Suggestions) -> Declarations:
    """Every object that the documents declare; of two with one id the first is kept and the other is a fault."""
    result = Declarations()
    for document in documents:
        declaration = _read_one(document, suggestions, result.faults)
        if declaration is None:
            continue
        first = result.by_id.setdefault(declaration.id, declaration)
        if first is not declaration:
            finding = Finding(_NAME_PATH, f"{declaration.id} is declared twice", "rename or remove one")
            result.faults.append(declaration.fault(finding, Spot(first.document, _NAME_PATH)))
    return result


def name_document(document: Document) -> str | None:
    """The id of the object that a document declares, well-formed or not; None where it has no readable name."""
    declaration = _name_only(_KINDS.get(str(document.value.get("kind"))), document)
    return declaration.id if declaration else None


def _read_one(document: Document, suggestions: Suggestions, faults: list[Fault]) -> Declaration | None:
    kind = _KINDS.get(str(document.value.get("kind")))
    if kind is None or not document.sound:
        if document.sound:
            faults.append(Fault(_unknown_kind(document, suggestions), "", document))
        return _name_only(kind, document)
    try:
        manifest = KIND_SCHEMAS[kind].manifest.model_validate(document.value)
    except ValidationError as error:
        findings = [
            *explain_violations(kind, error, suggestions),
            *_check_envelope(kind, document, suggestions),
        ]
        identifier = _shown_id(kind, document)
        faults.extend(Fault(finding, identifier, document) for finding in findings)
        return _name_only(kind, document)
    declared, belongs_to = convert_manifest(kind, manifest, document.start)
    declaration = Declaration(declared.meta.id, kind, document, declared, belongs_to)
    faults.extend(map(declaration.fault, _check_envelope(kind, document, suggestions)))
    return declaration


def _unknown_kind(document: Document, suggestions: Suggestions) -> Finding:
    kind, version = document.value.get("kind"), document.value.get("apiVersion")
    known = ", ".join(_KINDS)
    if kind is None:
        return Finding(("kind",), "the field kind is missing", f"write one of {known}", at_key=True)
    if not isinstance(kind, str):
        return Finding(("kind",), "kind is the name of a kind", f"write one of {known}")
    near = suggestions.near_miss(kind, _KINDS, "kind")
    advice = offer(near, f"known are {known}")
    if isinstance(version, str) and version.partition("/")[0] != API_GROUP and near is None:
        advice = f"keep objects of {shown(version)} in another directory; known are {known}"
    return Finding(("kind",), f"unknown kind {shown(kind)}", advice)


def _check_envelope(kind: Kind, document: Document, suggestions: Suggestions) -> Iterator[Finding]:
    """Faults of the metadata that the schema does not see."""
    metadata = document.value.get("metadata")
    if not isinstance(metadata, dict):
        return
    if metadata.get("namespace") is not None and kind not in NAMESPACED:
        yield Finding(("metadata", "namespace"), f"a {kind} has no namespace", "remove it", at_key=True)
    annotations = metadata.get("annotations")
    if annotations:
        yield from explain_strays(annotations, (ALLOW_DESTROY, RENAMED_FROM), f"{API_GROUP}/", suggestions)


def _name_only(kind: Kind | None, document: Document) -> Declaration | None:
    """The declaration of a malformed document, if its name can be read at all."""
    name, namespace = _raw_name(document.value)
    if kind is None or not (isinstance(name, str) and len(name) <= 63 and _NAME.fullmatch(name)):
        return None
    if not (isinstance(namespace, str) and len(namespace) <= 63 and _NAMESPACE.fullmatch(namespace)):
        return None
    return Declaration(object_id(kind, name, namespace), kind, document)


def _raw_name(value: dict[str, Value]) -> tuple[Value, Value]:
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        return None, None
    return metadata.get("name"), metadata.get("namespace") or DEFAULT_NAMESPACE


def _shown_id(kind: Kind, document: Document) -> str:
    """The id of a malformed object for people to read, as far as it has one."""
    declaration = _name_only(kind, document)
    if declaration is not None:
        return declaration.id
    name, _ = _raw_name(document.value)
    return f"{PREFIXES[kind]}/{shown(name)}" if isinstance(name, str) and name else ""
