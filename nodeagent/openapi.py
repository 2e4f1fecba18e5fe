"""The service's OpenAPI document: schemas of the contract's types, with their patterns and limits, added to routes.

`python -m nodeagent.openapi FILE` writes it; `service` serves it.
"""

from typing import Any

import msgspec

from nodeagent.wire.arguments import ARGUMENTS
from nodeagent.wire.facts import AgentVersion, FactsChange, HostState, HostStatistics, StorageContents
from nodeagent.wire.orders import LeaseGrant, LeaseRequest, Order, OrderResult, Refusal, Resync, Revocation

_TYPES = (
    HostState,
    HostStatistics,
    StorageContents,
    FactsChange,
    AgentVersion,
    LeaseRequest,
    LeaseGrant,
    Resync,
    Order,
    OrderResult,
    Revocation,
    Refusal,
    *ARGUMENTS.values(),
)
_REFERENCE = "#/components/schemas/{name}"
_TEXTS = {
    200: "done",
    202: "taken, and not ended yet",
    204: "done",
    304: "unchanged",
    404: "there is no such thing here",
    409: "refused; nothing was done",
    503: "not available now",
}


def returns(kind: type, *others: int) -> dict[int | str, dict[str, Any]]:
    """Responses of a route that answers `kind`; `others` are further status codes (202 has the same body)."""
    answers: dict[int | str, dict[str, Any]] = {200: _content(kind)}
    for status in others:
        answers[status] = _content(kind) if status == 202 else {}
    return {status: {"description": _TEXTS[int(status)], **answer} for status, answer in answers.items()}


def body_of(kind: type, answer: type, *others: int) -> dict[str, Any]:
    """Arguments of a route that takes `kind`, answers `answer` and may refuse."""
    responses = returns(answer, *others)
    responses[409] = {"description": _TEXTS[409], **_content(Refusal)}
    if 204 in others:
        del responses[200]
    status = 204 if 204 in others else 200
    return {
        "status_code": status,
        "responses": responses,
        "openapi_extra": {"requestBody": {"required": True, **_content(kind)}},
    }


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """A document made from routes, with the contract's schemas."""
    _, schemas = msgspec.json.schema_components(_TYPES, ref_template=_REFERENCE)
    components = document.setdefault("components", {}).setdefault("schemas", {})
    components.update(schemas)
    order = components["Order"]["properties"]["arguments"]
    order["description"] = "the arguments of `kind`: " + ", ".join(
        f"{name} → {kind.__name__}" for name, kind in ARGUMENTS.items()
    )
    return document


def _content(kind: type) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": _REFERENCE.format(name=kind.__name__)}}}}
