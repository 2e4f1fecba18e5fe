"""The digest of a plan: a tree of the digests of its parts, so that two plans compare part by part."""

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from reconciler.model.plan import Plan

PLAN_ID_DIGITS = 12


def canonical_bytes(value: Any) -> bytes:
    """A value as JSON with sorted keys and no white space: the same value, the same bytes."""
    return msgspec.json.encode(value, order="sorted")


def part_digest(value: Any) -> str:
    """SHA-256 (hex) of one part."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()


def plan_digest(plan: Plan) -> str:
    """SHA-256 (hex) over header, basis and the digest of every step, blocked, deferred, drift, alert and problem."""
    header = (plan.format, plan.planner, plan.data_center, plan.data_center_uuid, plan.limits)
    tree = [part_digest(header), part_digest(plan.basis)]
    groups: tuple[Iterable[Any], ...] = (
        plan.steps, plan.blocked, plan.deferred, plan.drift, plan.alerts, plan.problems,
    )  # fmt: skip
    tree.extend(part_digest([part_digest(one) for one in group]) for group in groups)
    return part_digest(tree)


def plan_id(digest: str) -> str:
    """The first twelve digits of a digest: enough for people to tell plans apart."""
    return digest[:PLAN_ID_DIGITS]
