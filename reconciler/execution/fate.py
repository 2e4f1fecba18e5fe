"""What became of an order: an agent's word as a step's outcome, and how to get a last word for one that is unclear.

`delivery` asks it for an order that got no clear answer, `settling` for orders of an earlier, killed process.
"""

import asyncio
from dataclasses import dataclass, replace

from nodeagent.wire.orders import OrderResult, Revocation
from reconciler.agentlink.protocol import AgentLink, AgentLinkError, OrderRefusedError
from reconciler.execution.leases import HeldLease
from reconciler.model.outcome import StepOutcome, StepState

RETRY_S = 1.0
POLL_MS = 2_000
_LOOK = "observe it: the next plan begins with what is there"


@dataclass(frozen=True, slots=True)
class Fate:
    """A step's outcome; settled: known, or revoked so that nothing more can come of it. open: it still runs."""

    outcome: StepOutcome
    settled: bool = True
    open: bool = False


def fate_of(step: str, result: OrderResult) -> Fate | None:
    """The fate that an agent's answer is; None while it has not ended, or the agent cannot tell."""
    if result.state == "succeeded":
        outcome = StepOutcome(step, StepState.SUCCEEDED, result.summary, outputs=result.outputs)
    elif result.state == "failed":
        outcome = StepOutcome(step, StepState.FAILED, result.summary, result.action, outputs=result.outputs)
    else:
        return None
    return Fate(replace(outcome, generation=result.generation))


async def find_out(
    link: AgentLink, step: str, key: str, lease: HeldLease | None, *, limit_s: float, cancel: bool
) -> Fate:
    """The fate of a key within limit_s. What has not begun is revoked, which needs a lease; cancel: what runs is
    asked to stop, and its end awaited. Without an answer the fate stays unsettled."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    fate = _unsettled(step, "its host did not answer")
    while True:
        try:
            async with asyncio.timeout_at(end_s):
                fate = await _ask_once(link, step, key, lease, cancel=cancel)
        except OrderRefusedError as error:
            return _unsettled(step, f"it could not be revoked: {error}")
        except (AgentLinkError, TimeoutError) as error:
            fate = _unsettled(step, f"its host did not answer: {error or 'in time'}")
        if fate.settled or (fate.open and not cancel) or lease is None or loop.time() + RETRY_S > end_s:
            return fate
        await asyncio.sleep(RETRY_S)


async def _ask_once(link: AgentLink, step: str, key: str, lease: HeldLease | None, *, cancel: bool) -> Fate:
    """Raises AgentLinkError."""
    seen = await link.follow(key, 0)
    known = fate_of(step, seen) if seen else None
    if known is not None:
        return known
    if seen is not None and seen.state == "revoked":
        return _revoked(step, seen, seen)
    if lease is None:
        return _unsettled(step, "no lease to revoke its order with")
    revocation = Revocation(key, lease.grant.holder, lease.grant.epoch, cancel)
    answer = await link.revoke(revocation)
    if answer.state == "revoked":
        return _revoked(step, seen, answer)
    known = fate_of(step, answer)
    if known is not None:
        return known
    if answer.state in ("accepted", "running"):
        summary, action = "its order is still being carried out", "wait for its end"
        return Fate(StepOutcome(step, StepState.UNKNOWN, summary, action), settled=False, open=True)
    return _unsettled(step, f"its agent says {answer.state}")


def _revoked(step: str, seen: OrderResult | None, answer: OrderResult) -> Fate:
    """Nothing more comes of a revoked order; what did not reach the agent, or had not begun, changed nothing."""
    if seen is None or seen.state == "accepted":
        summary = "the agent never got the order" if seen is None else "the agent had not begun it"
        return Fate(
            StepOutcome(
                step, StepState.FAILED, f"{summary}; it was revoked and cannot take effect", "plan anew"
            )
        )
    summary = seen.summary or answer.summary or "the agent cannot tell what became of it"
    return Fate(StepOutcome(step, StepState.UNKNOWN, f"{summary}; its order was revoked", _LOOK))


def _unsettled(step: str, why: str) -> Fate:
    action = "its object stays locked until the host answers or is proven off"
    return Fate(
        StepOutcome(step, StepState.UNKNOWN, f"nobody knows what became of it: {why}", action), settled=False
    )
