"""After a crash: steps that the journal shows begun and not ended are settled by asking the agents' ledgers.

Commands and the loop call it at start, holding `store.exclusive()`, before they plan.
"""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from reconciler.agentlink.protocol import Fleet
from reconciler.execution.fate import Fate, find_out
from reconciler.execution.leases import HeldLease, LeaseLostError, Leases
from reconciler.model.observed import OpenOrder
from reconciler.model.outcome import StepOutcome, StepState
from reconciler.store.journal import BegunStep
from reconciler.store.store import Store

ASK_S = 8.0
_CRASHED = "its process ended in the middle"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What was found out about one step of an earlier process."""

    step: BegunStep
    fate: Fate


def hosts_to_ask(begun: Iterable[BegunStep], proven_off: Collection[str]) -> tuple[str, ...]:
    """Hosts whose ledgers hold the fate of these steps, by id; not those that are proven off."""
    return tuple(sorted({step.host for step in begun} - set(proven_off)))


async def settle(
    store: Store,
    data_center: str,
    fleet: Fleet,
    leases: Leases | None = None,
    proven_off: Collection[str] = (),
) -> tuple[Settlement, ...]:
    """Find out the fate of every begun step of a data center (uuid) and record it; mark its applies that nobody carries
    out any more as interrupted, and those of dead processes. The caller has none of it under way.

    leases: already acquired for `hosts_to_ask`; without one a key that the agent never saw stays unsettled, because
    it may still arrive. An order that runs is left alone. proven_off: hosts whose orders can do nothing any more.
    Raises StoreError, JournalError.
    """
    found = await settle_steps(store, store.journal.unsettled(data_center), fleet, leases, proven_off)
    for apply in store.applies.abandoned(data_center):
        store.applies.end(apply.apply_id, "interrupted", _CRASHED)
    return found


async def settle_steps(
    store: Store,
    begun: Iterable[BegunStep],
    fleet: Fleet,
    leases: Leases | None = None,
    proven_off: Collection[str] = (),
) -> tuple[Settlement, ...]:
    """The same for these steps, which no plan under way has."""
    begun = tuple(begun)
    fates = await asyncio.gather(*(_find_fate(step, fleet, leases, proven_off) for step in begun))
    for step, fate in zip(begun, fates, strict=True):
        store.journal.end(step, fate.outcome, 0, settled=fate.settled)
    return tuple(Settlement(step, fate) for step, fate in zip(begun, fates, strict=True))


async def settle_orders(
    orders: Iterable[OpenOrder], data_center: str, fleet: Fleet, leases: Leases
) -> tuple[Settlement, ...]:
    """Find out the fate of orders that their agents do not know the end of: revoked, nothing more comes of them.

    No journal of ours has them: they are of a store that was lost, or of another applier that is gone. leases:
    already acquired for their hosts.
    """
    steps = [_begun(one, data_center) for one in orders]
    fates = await asyncio.gather(*(_find_fate(step, fleet, leases, ()) for step in steps))
    return tuple(Settlement(step, fate) for step, fate in zip(steps, fates, strict=True))


def _begun(order: OpenOrder, data_center: str) -> BegunStep:
    """An order in a ledger as the step that it was."""
    apply_id, _, step_id = order.key.partition("/")
    return BegunStep(apply_id, step_id, order.key, order.host, order.object, order.kind, data_center)


async def _find_fate(
    step: BegunStep, fleet: Fleet, leases: Leases | None, proven_off: Collection[str]
) -> Fate:
    if step.host in proven_off:
        return _buried(step)
    link = fleet.get(step.host)
    if link is None:
        summary = f"{step.host} has no known address any more"
        return Fate(StepOutcome(step.step_id, StepState.UNKNOWN, summary), settled=False)
    lease = await _lease(step.host, leases)
    fate = await find_out(link, step.step_id, step.key, lease, limit_s=ASK_S, cancel=False)
    ledger = lease.grant.ledger_id if lease is not None else ""
    return replace(fate, outcome=replace(fate.outcome, ledger=ledger))


async def _lease(host: str, leases: Leases | None) -> HeldLease | None:
    try:
        return await leases.ensure(host) if leases is not None else None
    except LeaseLostError:
        return None


def _buried(step: BegunStep) -> Fate:
    summary = f"{step.host} is proven off, and nothing more comes of its order"
    return Fate(StepOutcome(step.step_id, StepState.UNKNOWN, summary, "plan anew"))
