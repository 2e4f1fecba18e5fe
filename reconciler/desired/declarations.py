"""Documents turned into declarations: object id, place and object of each, with every fault of each document.

A malformed document still declares its name, so that references to it are no faults of others.
Called by `build`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from reconciler.desired.convert import Declared, convert_manifest
from reconciler.desired.findings import Fault, Finding, Spot
from reconciler.desired.malformed import read_parent
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
    """One object as declared. `declared` is None for a malformed one, of which single fields may be known.

    One without a readable name has an id for people to read only, perhaps an empty one.
    """

    id: str
    kind: Kind
    document: Document
    declared: Declared | None = None
    belongs_to: str | None = None

    @property
    def raw(self) -> Mapping[str, Value]:
        """The manifest as read, empty where its values cannot be relied on; for what has no `declared`."""
        return self.document.value if self.document.whole else {}

    @property
    def namespace(self) -> str:
        """The namespace in which the object's references are looked up."""
        return _raw_namespace(self.document.value) or DEFAULT_NAMESPACE

    def fault(self, finding: Finding, other: Spot | None = None) -> Fault:
        """A finding about this object; other is a place that it goes on to name."""
        return Fault(finding, self.id, self.document, other)


@dataclass(slots=True)
class Declarations:
    """Declarations by object id, in the order read, and the faults met on the way.

    nameless: malformed objects of which not even the name could be read.
    """

    by_id: dict[str, Declaration] = field(default_factory=dict)
    nameless: list[Declaration] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_declarations(documents: Iterable[Document], suggestions: Suggestions) -> Declarations:
    """Every object that the documents declare; of two with one id the first is kept and the other is a fault."""
    result = Declarations()
    for document in documents:
        declaration = _read_one(document, suggestions, result.faults)
        if declaration is None:
            continue
        if declaration.declared is None and not _has_name(document):
            result.nameless.append(declaration)
            continue
        first = result.by_id.setdefault(declaration.id, declaration)
        if first is not declaration:
            finding = Finding(_NAME_PATH, f"{declaration.id} is declared twice", "rename or remove one")
            result.faults.append(declaration.fault(finding, Spot(first.document, _NAME_PATH)))
    return result


def name_document(document: Document) -> str | None:
    """The id of the object that a document declares, well-formed or not; None where it has no readable name."""
    kind = _KINDS.get(str(document.value.get("kind")))
    return _shown_id(kind, document.value) if kind and _has_name(document) else None


def _read_one(document: Document, suggestions: Suggestions, faults: list[Fault]) -> Declaration | None:
    kind = _KINDS.get(str(document.value.get("kind")))
    if kind is None:
        if document.sound:
            faults.append(Fault(_unknown_kind(document, suggestions), "", document))
        return None
    if not document.whole:
        return _malformed(kind, document)
    try:
        manifest = KIND_SCHEMAS[kind].manifest.model_validate(document.value)
    except ValidationError as error:
        findings = [
            *explain_violations(kind, error, suggestions, complete=document.sound),
            *_check_envelope(kind, document, suggestions),
        ]
        malformed = _malformed(kind, document)
        faults.extend(map(malformed.fault, findings))
        return malformed
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


def _malformed(kind: Kind, document: Document) -> Declaration:
    """The declaration of a malformed document, with as much of its id as can be read."""
    belongs_to = read_parent(kind, document.value) if document.whole else None
    return Declaration(_shown_id(kind, document.value), kind, document, None, belongs_to)


def _has_name(document: Document) -> bool:
    """Whether name and namespace are such as an object can have."""
    name = _raw_metadata(document.value).get("name")
    readable = isinstance(name, str) and len(name) <= 63 and _NAME.fullmatch(name) is not None
    return readable and _raw_namespace(document.value) is not None


def _raw_metadata(value: Mapping[str, Value]) -> Mapping[str, Value]:
    metadata = value.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _raw_namespace(value: Mapping[str, Value]) -> str | None:
    """The namespace as written, `default` where none is; None where it cannot be one."""
    namespace = _raw_metadata(value).get("namespace") or DEFAULT_NAMESPACE
    fits = isinstance(namespace, str) and len(namespace) <= 63 and _NAMESPACE.fullmatch(namespace)
    return str(namespace) if fits else None


def _shown_id(kind: Kind, value: Mapping[str, Value]) -> str:
    """The id of an object, of a malformed one as far as it has one."""
    name, namespace = _raw_metadata(value).get("name"), _raw_namespace(value)
    if not isinstance(name, str) or not name:
        return ""
    if namespace is None or len(name) > 63 or not _NAME.fullmatch(name):
        return f"{PREFIXES[kind]}/{shown(name)}"
    return object_id(kind, name, namespace)
