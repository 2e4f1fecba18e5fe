"""Pydantic's JSON schema turned into a structural schema as Kubernetes wants it: no references, no unions.

Called by `crds` to publish kinds, and by `violations` to say what a field would have taken.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from reconciler.desired.paths import Step
from reconciler.desired.schema.kinds import KIND_SCHEMAS
from reconciler.model.names import PREFIXES, Kind

Schema = dict[str, Any]

_KEPT: Final = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "nullable",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "pattern",
    "items",
    "properties",
    "required",
    "anyOf",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)


def structural_schema(model: type[BaseModel]) -> Schema:
    """The schema of a model with references resolved, optional fields nullable and constants as enums."""
    raw = model.model_json_schema(by_alias=True)
    return _resolve(raw, raw.get("$defs", {}))


@cache
def kind_schema(kind: Kind) -> Schema:
    """The structural schema of a kind's whole manifest."""
    return structural_schema(KIND_SCHEMAS[kind].manifest)


def field_schema(kind: Kind, path: tuple[Step, ...]) -> Schema:
    """The part of a kind's schema that a path leads to; empty where it leads nowhere."""
    schema = kind_schema(kind)
    for step in path:
        inner = schema.get("items") if isinstance(step, int) else schema.get("properties", {}).get(step)
        if not isinstance(inner, dict):
            return {}
        schema = inner
    return schema


@cache
def declared_fields() -> tuple[str, ...]:
    """Every field of every kind's spec, wholes before their parts: `vm.cpu`, `vm.cpu.sockets`, `vm.nics.mac` …"""
    return tuple(
        field
        for kind in KIND_SCHEMAS
        for field in _list_fields(kind_schema(kind)["properties"]["spec"], PREFIXES[kind])
    )


def _list_fields(schema: Schema, prefix: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        yield f"{prefix}.{name}"
        yield from _list_fields(field.get("items", field), f"{prefix}.{name}")


def _resolve(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    merged = dict(node)
    if "$ref" in merged:
        target = definitions[merged.pop("$ref").rpartition("/")[2]]
        merged = {**target, **merged}
    if "x-kubernetes-int-or-string" not in merged:
        merged = _without_null(merged, definitions)
    if "const" in merged:
        merged["enum"] = [merged["const"]]
    if isinstance(merged.get("properties"), dict):
        merged["properties"] = {
            name: _resolve(inner, definitions) for name, inner in merged["properties"].items()
        }
    if isinstance(merged.get("items"), dict):
        merged["items"] = _resolve(merged["items"], definitions)
    _settle_default(merged)
    return {key: merged[key] for key in _KEPT if key in merged}


def _settle_default(node: Schema) -> None:
    """No default for what is simply absent; an absent mapping gets its own fields' defaults."""
    if node.get("default", ...) is None:
        del node["default"]
    elif "properties" in node and "default" in node:
        node["default"] = {}


def _without_null(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """`anyOf [X, null]` as X that is nullable; what was said at the union wins."""
    options = node.get("anyOf")
    if not isinstance(options, list):
        return node
    (inner,) = [option for option in options if option.get("type") != "null"]
    outer = {key: value for key, value in node.items() if key != "anyOf"}
    resolved = _resolve(inner, definitions)
    # Kubernetes takes null for an enum only where null is one of its values; absent is enough.
    return {**resolved, **outer} if "enum" in resolved else {**resolved, **outer, "nullable": True}
