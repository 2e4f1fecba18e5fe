"""A plan as a file: its body, its digest and id. Secrets never appear: steps hold references only."""

from collections.abc import Sequence

import msgspec

from reconciler.model.plan import Plan
from reconciler.planfile.canonical import plan_digest, plan_id


def encode_plan(plan: Plan, sources: Sequence[str] = ()) -> bytes:
    """JSON with sorted keys, two blanks of indentation and a final newline; `digest` and `planId` beside the body.

    sources: absolute paths of the manifests, so that `apply PLANFILE` can read them again; not in the digest.
    """
    digest = plan_digest(plan)
    document = {
        "digest": digest,
        "planId": plan_id(digest),
        "plan": msgspec.to_builtins(plan),
        "sources": list(sources),
    }
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"
