"""A plan file back into a plan, strictly: whatever was edited by hand is refused with its place."""

from dataclasses import dataclass
from typing import Any

import msgspec

from nodeagent.wire.codec import ContractError, convert
from nodeagent.wire.version import MAJOR
from reconciler.model.plan import Plan
from reconciler.planfile.canonical import plan_digest

LARGEST_FILE_BYTES = 256 * 2**20
MOST_FAULTS = 20


class PlanFileError(Exception):
    """A file is no plan, or not a plan that this version may read; the text says what to do."""


@dataclass(frozen=True, slots=True)
class PlanFile:
    """What a plan file holds. sources: paths of the manifests it was made from."""

    plan: Plan
    digest: str
    sources: tuple[str, ...] = ()


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of a plan file (docs/plan.schema.json)."""
    (schema,), components = msgspec.json.schema_components([Plan], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ostler plan file",
        "type": "object",
        "required": ["digest", "planId", "plan"],
        "additionalProperties": False,
        "properties": {
            "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "planId": {"type": "string", "pattern": "^[0-9a-f]{12}$"},
            "plan": schema,
            "sources": {"type": "array", "items": {"type": "string"}},
            "unmet": {"type": "array", "items": {"type": "object"}},
        },
        "$defs": components,
    }


def decode_plan(document: bytes) -> PlanFile:
    """The plan, its digest and sources. Raises PlanFileError for what is no plan, of another format, or was altered."""
    if len(document) > LARGEST_FILE_BYTES:
        raise PlanFileError("the file is larger than any plan; name the file that `ostler plan --out` wrote")
    try:
        content = msgspec.json.decode(document)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise PlanFileError(
            f"not a plan file: {error}; name the file that `ostler plan --out` wrote"
        ) from error
    _check_format(content)
    try:
        plan = convert(content["plan"], Plan)
        sources = convert(content.get("sources", []), tuple[str, ...])
    except (ContractError, KeyError, TypeError) as error:
        raise PlanFileError(_faults(content, error)) from error
    digest = plan_digest(plan)
    if content.get("digest") != digest:
        raise PlanFileError(
            "the plan does not match its digest: it was altered; make a new one with `ostler plan`"
        )
    return PlanFile(plan, digest, sources)


def _check_format(content: Any) -> None:
    """Refuses another major format by name, before its shape is looked at."""
    plan = content.get("plan") if isinstance(content, dict) else None
    form = plan.get("format") if isinstance(plan, dict) else None
    major = form.get("major") if isinstance(form, dict) else None
    if major is None:
        raise PlanFileError(
            "not a plan file: it has no plan with a format; name the file that `ostler plan --out` wrote"
        )
    if major != MAJOR:
        raise PlanFileError(
            f"the plan has format {major}, this ostler reads format {MAJOR}; use the ostler that made it"
        )


def _faults(content: Any, error: Exception) -> str:
    """Every fault that the schema finds, else the one that decoding found."""
    import jsonschema  # noqa: PLC0415  only a file that cannot be decoded needs it

    validator = jsonschema.Draft202012Validator(plan_schema())
    found = [
        f"{'.'.join(str(part) for part in one.absolute_path)}: {one.message[:200]}"
        for one in validator.iter_errors(content)
    ]
    listed = found[:MOST_FAULTS] or [str(error)]
    return "not a valid plan file:\n  " + "\n  ".join(listed)
