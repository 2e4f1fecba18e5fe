"""What pydantic refused, put into findings that say what to write instead.

Called by `declarations` for documents that do not fit their schema; every fault of the document comes at once.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from reconciler.desired.findings import Finding
from reconciler.desired.paths import Path, format_path
from reconciler.desired.read import shown
from reconciler.desired.schema.scalars import EXPECTATIONS
from reconciler.desired.structure import Schema, field_schema
from reconciler.desired.suggestions import Suggestions, offer
from reconciler.model.names import Kind

MAX_FINDINGS: Final = 100
_ABSURD: Final = 10_000
_LONGEST_NAME: Final = 63
_NOT_IN_NAMES: Final = re.compile("[^-a-z0-9.]+")

_TYPES: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_NAMES: Final = {
    bool: "true or false",
    int: "a number",
    float: "a fraction",
    str: "text",
    list: "a list",
    dict: "a mapping",
    type(None): "nothing",
}
_TRUE: Final = frozenset({"yes", "on", "y", "1", "true"})
_FALSE: Final = frozenset({"no", "off", "n", "0", "false"})


def explain_violations(
    kind: Kind, error: ValidationError, suggestions: Suggestions, *, complete: bool = True
) -> list[Finding]:
    """Findings in the order of the schema, at most `MAX_FINDINGS` and one that counts the rest.

    complete: False if something was refused on reading; what is missing is then no finding.
    """
    count = error.error_count()
    if count > _ABSURD:
        return [
            Finding(
                (), f"{count} fields of this object are wrong", "this is hardly a manifest; see what wrote it"
            )
        ]
    details = error.errors(include_url=False)
    unknown = _name_unknown_fields(kind, details, suggestions)
    meant = {(*path[:-1], near) for path, near in unknown.items() if near}
    findings = []
    for one in details[: MAX_FINDINGS + len(meant)]:
        path = one["loc"]
        if one["type"] == "missing" and (path in meant or not complete):
            continue  # said at the misspelt field, or on reading
        findings.append(_explain(kind, one, unknown, suggestions))
    if count > MAX_FINDINGS + len(meant):
        findings.append(
            Finding((), f"and {count - len(findings)} more faults in this object", "mend these first")
        )
    return findings


def _name_unknown_fields(
    kind: Kind, details: list[ErrorDetails], suggestions: Suggestions
) -> dict[Path, str | None]:
    """The unknown fields, each with the known one that was probably meant and is not there as well."""
    unknown: dict[Path, str | None] = {}
    for one in details[:MAX_FINDINGS]:
        if one["type"] == "extra_forbidden":
            *parent, word = one["loc"]
            fields = field_schema(kind, tuple(parent)).get("properties", {})
            unknown[one["loc"]] = suggestions.near_miss(str(word), fields)
    return unknown


def _explain(
    kind: Kind, error: ErrorDetails, unknown: Mapping[Path, str | None], suggestions: Suggestions
) -> Finding:
    path, schema = error["loc"], field_schema(kind, error["loc"])
    if error["type"] in ("literal_error", "enum"):
        return Finding(path, *_explain_choice(error["input"], schema, suggestions))
    if error["type"] == "extra_forbidden":
        return _explain_unknown(kind, path, unknown.get(path))
    if error["type"] == "missing":
        detail = f"add it: {_first_sentence(schema)}"
        return Finding(path, f"the field {path[-1]} is missing", detail, at_key=True)
    if error["type"] in _TYPES:
        return Finding(path, *_explain_type(_TYPES[error["type"]], error["input"], schema))
    teller = _TELLERS.get(error["type"])
    if teller is not None:
        return Finding(path, *teller(error, schema))
    return Finding(path, error["msg"][:1].lower() + error["msg"][1:], _first_sentence(schema))


def _explain_unknown(kind: Kind, path: Path, near: str | None) -> Finding:
    fields = field_schema(kind, path[:-1]).get("properties", {})
    parent = format_path(path[:-1]) or "a manifest"
    known = f"remove it; {parent} takes {', '.join(sorted(fields))}" if fields else "remove it"
    return Finding(path, f"unknown field {shown(str(path[-1]))}", offer(near, known), at_key=True)


def _first_sentence(schema: Schema) -> str:
    text = str(schema.get("description", "")).replace("`", "")
    return (text[:1].lower() + text[1:]).partition(". ")[0].removesuffix(".")


def _explain_type(wanted: str, value: object, schema: Schema) -> tuple[str, str]:
    found = _NAMES.get(type(value), "something else")
    if isinstance(value, str) and len(value) <= 20:
        found = f"the text {shown(repr(value))}"
    summary = f"{wanted} is expected here, not {found}"
    if value is None:
        return summary, "give it a value, or remove the field"
    if schema.get("type") == "boolean" and isinstance(value, str):
        lowered = value.lower()
        return (
            summary,
            "write true"
            if lowered in _TRUE
            else "write false"
            if lowered in _FALSE
            else "write true or false",
        )
    if schema.get("type") == "integer" and isinstance(value, str) and value.isdecimal():
        return summary, f"write {value} without quotes"
    if schema.get("type") == "string" and isinstance(value, bool | int | float):
        return summary, "put it in quotes"
    if schema.get("type") == "array":
        return summary, "begin each item with '- '"
    return summary, f"this is {_first_sentence(schema)}" if schema.get("description") else f"write {wanted}"


def _explain_choice(value: object, schema: Schema, suggestions: Suggestions) -> tuple[str, str]:
    allowed = [str(value) for value in schema.get("enum", ())]
    said = shown(value) if isinstance(value, str) else _NAMES.get(type(value), "this")
    near = suggestions.near_miss(value, allowed) if isinstance(value, str) else None
    if not isinstance(value, str) or len(allowed) > 1:
        return f"{said} is not one of {', '.join(allowed)}", offer(near, "write one of these")
    return f"{said} is not known here", offer(near, f"write {allowed[0]}") if allowed else "remove it"


def _explain_range(error: ErrorDetails, schema: Schema) -> tuple[str, str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    size = "small" if error["type"].startswith("greater") else "large"
    if low is None or high is None:
        return (
            f"{error['input']} is too {size}",
            f"write {low} or more" if high is None else f"write at most {high}",
        )
    return f"{error['input']} is too {size}", f"write {low} to {high}"


def _explain_pattern(error: ErrorDetails, _schema: Schema) -> tuple[str, str]:
    pattern = str(error.get("ctx", {}).get("pattern", ""))
    noun, advice = EXPECTATIONS.get(pattern, ("what is expected here", f"it has to match {pattern}"))
    value = error["input"]
    if not value:
        return "this is empty", advice
    if isinstance(value, str) and "lower-case" in advice:
        meant = _NOT_IN_NAMES.sub("-", value.lower()).strip("-.")
        if len(meant) <= _LONGEST_NAME and re.fullmatch(pattern, meant):
            advice = f"{advice}; {meant} may be meant"
    return f"{shown(repr(value))} is not {noun}", advice


def _explain_length(error: ErrorDetails, _schema: Schema) -> tuple[str, str]:
    context: Mapping[str, Any] = error.get("ctx", {})
    counted = "items" if error["type"] == "too_long" else "characters"
    if "max_length" in context:
        most = context["max_length"]
        return f"this is longer than {most} {counted}", f"write at most {most} {counted}"
    return (
        f"this is shorter than {context.get('min_length', 1)} {counted}",
        "give it a value, or remove the field",
    )


def _explain_refusal(error: ErrorDetails, _schema: Schema) -> tuple[str, str]:
    context: Mapping[str, Any] = error.get("ctx", {})
    return shown(str(context.get("summary", "")), 300), shown(str(context.get("detail", "")), 300)


_TELLERS: Final[dict[str, Callable[[ErrorDetails, Schema], tuple[str, str]]]] = {
    "greater_than_equal": _explain_range,
    "less_than_equal": _explain_range,
    "string_pattern_mismatch": _explain_pattern,
    "string_too_long": _explain_length,
    "string_too_short": _explain_length,
    "too_long": _explain_length,
    "too_short": _explain_length,
    "ostler": _explain_refusal,
}


def explain_strays(
    annotations: object, known: tuple[str, ...], prefix: str, suggestions: Suggestions
) -> Iterator[Finding]:
    """Annotations under our prefix that mean nothing; a consent with a slip in its name must not be lost."""
    if not isinstance(annotations, dict):
        return
    for name in annotations:
        if isinstance(name, str) and name.startswith(prefix) and name not in known:
            near = suggestions.near_miss(name, known, prefix)
            advice = offer(near, f"remove it; known are {' and '.join(known)}")
            yield Finding(
                ("metadata", "annotations", name), f"unknown annotation {shown(name)}", advice, at_key=True
            )
