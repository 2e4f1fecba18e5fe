"""The reference of all fields as Markdown tables, made from the schemas; part of docs/manifests.md."""

import json
from collections.abc import Iterator
from typing import Final

from reconciler.desired.schema.kinds import KIND_SCHEMAS
from reconciler.desired.structure import Schema, kind_schema
from reconciler.model.names import NAMESPACED, PREFIXES, Kind

START: Final = "<!-- reference: made from the schemas -->"
END: Final = "<!-- end of reference -->"


def replace_reference(page: str) -> str:
    """The page with what stands between its two marks made anew; ValueError if it lacks them."""
    before, found_start, rest = page.partition(START)
    _, found_end, after = rest.partition(END)
    if not (found_start and found_end):
        raise ValueError(f"the page lacks the lines {START} and {END}")
    return f"{before}{START}\n\n{render_reference()}\n{END}{after}"


def render_reference() -> str:
    """A section a kind: what it is, and a table of the fields of its spec."""
    return "\n".join(line for kind in KIND_SCHEMAS for line in _render_kind(kind))


def _render_kind(kind: Kind) -> Iterator[str]:
    whole = kind_schema(kind)
    scope = "in a namespace" if kind in NAMESPACED else "in no namespace"
    yield f"### {kind}"
    yield ""
    yield f"{whole['description']} Ids begin with `{PREFIXES[kind]}/`; it lives {scope}."
    yield ""
    yield "| field of `spec` | takes | where none is given | what it is |"
    yield "|---|---|---|---|"
    yield from _render_fields(whole["properties"]["spec"], "")
    yield ""


def _render_fields(schema: Schema, prefix: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        path = f"{prefix}`{name}`" if not prefix else f"{prefix}.`{name}`"
        default = "required" if name in required else _render_default(field)
        yield f"| {path} | {_render_type(field)} | {default} | {field['description']} |"
        inner = field.get("items", field)
        if "properties" in inner:
            yield from _render_fields(
                inner, f"{prefix}{'.' if prefix else ''}{name}{'[]' if 'items' in field else ''}"
            )


def _render_default(field: Schema) -> str:
    default = field.get("default")
    if default in (None, "", [], {}):
        return "–"
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def _render_type(field: Schema) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "properties" in field:
        return "mapping"
    if "items" in field:
        return "list of mappings" if "properties" in field["items"] else "list of text"
    if field["type"] == "integer":
        return f"{field['minimum']} to {field['maximum']}" if "maximum" in field else "number"
    if field["type"] == "boolean":
        return "`true`, `false`"
    return "duration" if str(field.get("pattern", "")).endswith("(ms|s|m|h|d))+$") else "text"
