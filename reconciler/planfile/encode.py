"""A plan as a file: its body, its digest and id. Secrets never appear: steps hold references only."""

import msgspec

from reconciler.model.plan import Plan
from reconciler.planfile.canonical import plan_digest, plan_id


def encode_plan(plan: Plan) -> bytes:
    """JSON with sorted keys, two blanks of indentation and a final newline; `digest` and `planId` beside the body."""
    digest = plan_digest(plan)
    document = {"digest": digest, "planId": plan_id(digest), "plan": msgspec.to_builtins(plan)}
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"
