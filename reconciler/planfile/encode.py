"""A plan as a file: its body, its digest and id. Secrets never appear: steps hold references only."""

from collections.abc import Sequence
from typing import Any

import msgspec

from reconciler.model.placement import Shortfall
from reconciler.model.plan import Plan
from reconciler.planfile.canonical import plan_digest, plan_id
from reconciler.planfile.unmet import unmet_plain


def encode_plan(plan: Plan, sources: Sequence[str] = (), unmet: Sequence[Shortfall] = ()) -> bytes:
    """JSON with sorted keys, two blanks of indentation and a final newline; `digest` and `planId` beside the body.

    sources: absolute paths of the manifests, so that `apply PLANFILE` can read them again. unmet: what its requirements
    found, for those who read it. Neither is in the digest.
    """
    digest = plan_digest(plan)
    document: dict[str, Any] = {
        "digest": digest,
        "planId": plan_id(digest),
        "plan": msgspec.to_builtins(plan),
        "sources": list(sources),
    }
    if unmet:
        document["unmet"] = unmet_plain(unmet)
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"
