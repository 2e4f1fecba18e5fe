"""One turn of the wheel, shared by `ostler apply`, `ostler simulate`, `ostler run` and the controller: settle, observe,
plan, admit, run, remember.

Nothing here decides what to do; it calls the stages in their order and hands their values on.
"""

import gc
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from nodeagent.wire.facts import HostState
from reconciler.agentlink.gathering import Gathered, GatherLimits, HostName, gather
from reconciler.agentlink.protocol import Fleet
from reconciler.execution.admission import Fresh, Objection, refuse_plan
from reconciler.execution.leases import Leases
from reconciler.execution.locks import locked_by_journal, locked_by_orders, locked_by_results
from reconciler.execution.orders import digest_secrets
from reconciler.execution.remembering import (
    MOST_FAILURES,
    attempts_at,
    find_retries,
    remember_deeds,
    remember_outcome,
)
from reconciler.execution.renewals import with_certificates
from reconciler.execution.run import Applier, PlanRun, Site, Ticket, Watcher
from reconciler.execution.settling import Settlement, hosts_to_ask, settle, settle_orders, settle_steps
from reconciler.model.desired import Desired
from reconciler.model.observed import OpenOrder, OutdatedFacts
from reconciler.model.options import EVERYTHING, PassOptions
from reconciler.model.outcome import ApplyOutcome
from reconciler.model.plan import Plan
from reconciler.model.reports import HostOffProof, Reports
from reconciler.observing.proofs import find_proven_off
from reconciler.pipeline import Pass, run_pass
from reconciler.planfile.canonical import plan_digest, plan_id
from reconciler.planfile.encode import encode_plan
from reconciler.planning.basis import basis_of
from reconciler.store.database import StoreError
from reconciler.store.requests import Request
from reconciler.store.store import Store
from reconciler.version import PLANNER


@dataclass(frozen=True, slots=True)
class Estate:
    """A data center with the means to observe and order it. failed_ms: how long ago, in ms, objects failed last, as far
    as this process knows. compares_secrets: whether guests are to be given secrets that have changed."""

    desired: Desired
    fleet: Fleet
    store: Store
    applier: Applier
    options: PassOptions = field(default_factory=PassOptions)
    limits: GatherLimits | None = None
    failed_ms: Mapping[str, int] = field(default_factory=dict)
    compares_secrets: bool = True

    @property
    def hosts(self) -> list[HostName]:
        """Hosts to ask, in id order."""
        return [HostName(name, host.uuid) for name, host in self.desired.hosts.items()]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn came to. objections: why its plan was not applied; outcome: of its plan, if that was applied.

    settled: orders of earlier applies whose fate was found out before. requests: what other commands asked, and its
    plan was made with.
    """

    gathered: Gathered
    done: Pass
    settled: tuple[Settlement, ...] = ()
    objections: tuple[Objection, ...] = ()
    outcome: ApplyOutcome | None = None
    requests: tuple[Request, ...] = ()


async def carry_out(estate: Estate, turn: Turn, watcher: Watcher | None = None) -> Turn:
    """Admit the plan of a turn, run it and remember what failed. The caller holds `store.exclusive()`."""
    plan = turn.done.plan
    if not plan.steps:
        return turn
    objections = admit(estate, plan, turn.done)
    if objections:
        return replace(turn, objections=objections)
    outcome = await prepare_run(estate, plan, turn.done, watcher).run()
    remember(estate, plan, outcome)
    return replace(turn, outcome=outcome)


def remember(estate: Estate, plan: Plan, outcome: ApplyOutcome) -> None:
    """Count failing passes by object, forget those of objects whose steps all succeeded, and keep what happened.

    A store that cannot take it is passed over: the outcome stands, and whoever needs the store next is told.
    """
    with suppress(StoreError):
        remember_outcome(estate.store, estate.desired, plan, outcome)


async def observe(estate: Estate) -> Reports:
    """One observation. What persons confirmed counts; of hosts that answer it ends."""
    return (await listen(estate)).reports


async def listen(estate: Estate, previous: Gathered | None = None) -> Gathered:
    """One observation with what the next one needs to tell silence from our own absence."""
    center = estate.desired.data_center
    proofs: Sequence[HostOffProof] = estate.store.confirmations.current(center.uuid)
    domains = [one.uuid for one in estate.desired.storage_domains.values()]
    gathered = await gather(
        estate.fleet,
        estate.hosts,
        domains,
        data_center=center.meta.id,
        previous=previous,
        proofs=proofs,
        limits=estate.limits,
        wallclock=estate.applier.wallclock,
    )
    if proofs:
        answering = [one.uuid for one in gathered.reports.hosts if one.status == "answering"]
        estate.store.confirmations.end(center.uuid, answering)
    return gathered


async def look(estate: Estate, previous: Pass | None = None) -> Pass:
    """An observation and the pass over it."""
    return plan_reports(estate, await observe(estate), previous)


def plan_reports(estate: Estate, reports: Reports, previous: Pass | None = None) -> Pass:
    """The pass over an observation, with what the store holds against it."""
    options = add_memories(estate.store, estate.desired, estate.options, reports, estate.failed_ms)
    if estate.compares_secrets:
        digests = digest_secrets(estate.desired, estate.applier.secrets, estate.applier.digest_key)
        options = replace(options, secret_digests=digests)
    with _collector_at_rest():
        return run_pass(estate.desired, reports, previous, options)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Nothing that a pass makes refers back to what made it, so there is nothing for the collector to find; it would go
    through all that lives again and again, which costs more for each VM the more there are."""
    at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if at_work:
            gc.enable()


def add_memories(
    store: Store,
    desired: Desired,
    options: PassOptions,
    reports: Reports,
    failed_ms: Mapping[str, int] | None = None,
) -> PassOptions:
    """Options with what is paused, what keeps failing with the manifest as it is, orders whose end nobody knows, and
    objects whose last result the reports do not show yet. failed_ms: how long ago objects failed last."""
    attempts, center = attempts_at(store, desired), desired.data_center.uuid
    begun = tuple(
        OpenOrder(one.host, one.key, one.kind, one.object, "unknown")
        for one in store.journal.unsettled(center)
    )
    return replace(
        options,
        begun=begun,
        outdated=find_outdated(store, center, reports),
        failing={name: one.reason for name, one in attempts.items() if one.failures >= MOST_FAILURES},
        retries=find_retries(attempts, failed_ms or {}),
        paused=store.pauses.reasons(center),
    )


def find_outdated(store: Store, data_center: str, reports: Reports) -> dict[str, OutdatedFacts]:
    """Objects of a data center (uuid) of which an order ended later than the facts reported of its host: by id, sorted."""
    hosts = {state.ledger_id: (name, state.generation) for name, state in _states(reports).items()}
    seen_of = {ledger: seen for ledger, (_, seen) in hosts.items()}
    later = store.journal.results_beyond(data_center, seen_of)
    return {one.object: OutdatedFacts(*hosts[one.ledger], one.generation) for one in later}


async def look_settled(estate: Estate, previous: Turn | None = None) -> Turn:
    """What earlier processes left is settled; then an observation and the pass over it.

    Orders whose end an agent does not know are revoked, whoever gave them: a lost store knows nothing of them.
    """
    center = estate.desired.data_center
    estate.store.centers.note(center.uuid, center.meta.id)
    settled = await settle_journal(estate)
    gathered = await listen(estate, previous.gathered if previous else None)
    done = plan_reports(estate, gathered.reports, previous.done if previous else None)
    unknown = [one for one in done.observed.open_orders.values() if one.state == "unknown"]
    more = await _settle_orders(estate, unknown, _states(gathered.reports)) if unknown else ()
    if more:
        gathered = await listen(estate, gathered)
        done = plan_reports(estate, gathered.reports, done)
    seen = {one.ledger_id: one.generation for one in _states(gathered.reports).values()}
    estate.store.journal.forget_results(center.uuid, seen)
    remember_deeds(estate.store, done)
    return Turn(gathered, done, (*settled, *more))


async def _settle_orders(
    estate: Estate, orders: Sequence[OpenOrder], states: Mapping[str, HostState]
) -> tuple[Settlement, ...]:
    """Of those hosts that answer."""
    asked = [one for one in orders if one.host in states]
    leases = _new_leases(estate, states)
    async with leases.kept():
        await leases.acquire({one.host for one in asked}, states)
        return await settle_orders(asked, estate.desired.data_center.uuid, estate.fleet, leases)


async def settle_journal(estate: Estate) -> tuple[Settlement, ...]:
    """What an earlier process began and did not end: asked of the agents, recorded. Call it before planning."""
    center = estate.desired.data_center.uuid
    begun = estate.store.journal.unsettled(center)
    if not begun and not estate.store.applies.abandoned(center):
        return ()
    reports = await observe(estate)
    states, proven = _states(reports), _proven_off(estate.desired, reports)
    leases = _new_leases(estate, states)
    async with leases.kept():
        await leases.acquire(hosts_to_ask(begun, proven), states)
        return await settle(estate.store, center, estate.fleet, leases, proven)


async def settle_others(
    estate: Estate, gathered: Gathered, leases: Leases, under_way: Collection[str]
) -> tuple[Settlement, ...]:
    """While plans are carried out (under_way: their applies): what earlier ones began and did not end, of hosts that
    answer or are proven off. leases: those of the plans, which go on."""
    begun = estate.store.journal.unsettled(estate.desired.data_center.uuid)
    states, proven = _states(gathered.reports), _proven_off(estate.desired, gathered.reports)
    asked = [
        one for one in begun if one.apply_id not in under_way and (one.host in states or one.host in proven)
    ]
    if not asked:
        return ()
    await leases.acquire(hosts_to_ask(asked, proven), states)
    return await settle_steps(estate.store, asked, estate.fleet, leases, proven)


def _proven_off(desired: Desired, reports: Reports) -> tuple[str, ...]:
    """Ids of hosts that are proven off."""
    off = find_proven_off(desired, reports)
    return tuple(one.host for one in reports.hosts if one.uuid in off)


def _new_leases(estate: Estate, states: Mapping[str, HostState]) -> Leases:
    return Leases(
        estate.fleet,
        data_center=estate.desired.data_center.uuid,
        holder=estate.applier.holder,
        epoch_above=max((state.lease.epoch for state in states.values()), default=0),
        takeover=estate.applier.takeover,
    )


def admit(estate: Estate, plan: Plan, fresh: Pass, *, expected: str = "") -> tuple[Objection, ...]:
    """Every reason not to apply `plan` now, judged by a fresh pass; empty if it may be applied."""
    digest, center = plan_digest(plan), estate.desired.data_center.uuid
    locked = {
        **locked_by_orders(fresh.observed.open_orders),
        **locked_by_journal(estate.store.journal.unsettled(center)),
        **locked_by_results(find_outdated(estate.store, center, fresh.reports)),
    }
    pauses = estate.store.pauses.reasons(center)
    paused = {
        name: reason
        for name in {step.object for step in plan.steps}
        for scope, reason in pauses.items()
        if scope in (name, plan.data_center, EVERYTHING)
    }
    judged = Fresh(
        planner=PLANNER,
        data_center_uuid=center,
        basis=basis_of(estate.desired, fresh.observed, plan.steps),
        observed=fresh.observed,
        locked=locked,
        paused=paused,
        applied=[one.apply_id for one in estate.store.applies.admitted(digest)],
    )
    return refuse_plan(plan, judged, digest=digest, expected=expected)


def prepare_run(
    estate: Estate,
    plan: Plan,
    fresh: Pass,
    watcher: Watcher | None = None,
    new_id: Callable[[], str] | None = None,
    beside_run: PlanRun | None = None,
) -> PlanRun:
    """The run of an admitted plan; the caller holds `store.exclusive()`. beside_run: one that goes on meanwhile."""
    digest = plan_digest(plan)
    apply_id = (new_id or new_apply_id)()
    ticket = Ticket(apply_id, plan_id(digest), digest, encode_plan(plan).decode())
    uuids = {name: host.uuid for name, host in estate.desired.hosts.items()}
    site = Site(estate.fleet, uuids, _states(fresh.reports))
    secrets = with_certificates(estate.applier.secrets, estate.applier.signer, estate.desired, site.states)
    applier = replace(estate.applier, secrets=secrets)
    return PlanRun(
        plan, ticket, site=site, applier=applier, store=estate.store, watcher=watcher, beside=beside_run
    )


def new_apply_id() -> str:
    """A name that no apply had before."""
    return secrets.token_hex(8)


def _states(reports: Reports) -> Mapping[str, HostState]:
    """State documents of the hosts that answered, by id."""
    return {
        one.host: one.state for one in reports.hosts if one.state is not None and one.status == "answering"
    }
