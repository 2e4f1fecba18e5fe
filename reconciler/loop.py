"""One turn of the wheel, shared by `ostler apply`, `ostler run` and the controller: settle, observe, plan, admit, run.

Nothing here decides what to do; it calls the stages in their order and hands their values on.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nodeagent.wire.facts import HostState
from reconciler.agentlink.gathering import GatherLimits, HostName, gather
from reconciler.agentlink.protocol import Fleet
from reconciler.execution.admission import Fresh, Objection, refuse_plan
from reconciler.execution.leases import Leases
from reconciler.execution.locks import locked_by_journal, locked_by_orders
from reconciler.execution.run import Applier, PlanRun, Site, Ticket, Watcher
from reconciler.execution.settling import Settlement, hosts_to_ask, settle
from reconciler.model.desired import Desired
from reconciler.model.plan import Plan
from reconciler.model.reports import HostOffProof, Reports
from reconciler.pipeline import Pass, PassOptions, run_pass
from reconciler.planfile.canonical import plan_digest, plan_id
from reconciler.planfile.encode import encode_plan
from reconciler.planning.basis import basis_of
from reconciler.store.store import Store
from reconciler.version import PLANNER

EVERYTHING = "*"
"""The scope of a pause that holds all data centers."""


@dataclass(frozen=True, slots=True)
class Estate:
    """A data center with the means to observe and order it."""

    desired: Desired
    fleet: Fleet
    store: Store
    applier: Applier
    options: PassOptions = field(default_factory=PassOptions)
    limits: GatherLimits | None = None

    @property
    def hosts(self) -> list[HostName]:
        """Hosts to ask, in id order."""
        return [HostName(name, host.uuid) for name, host in self.desired.hosts.items()]


async def observe(estate: Estate) -> Reports:
    """One observation. What persons confirmed counts; of hosts that answer it ends."""
    center = estate.desired.data_center
    proofs: Sequence[HostOffProof] = estate.store.confirmations.current(center.uuid)
    domains = [one.uuid for one in estate.desired.storage_domains.values()]
    gathered = await gather(
        estate.fleet, estate.hosts, domains, data_center=center.meta.id, proofs=proofs, limits=estate.limits
    )
    if proofs:
        answering = [one.uuid for one in gathered.reports.hosts if one.status == "answering"]
        estate.store.confirmations.end(center.uuid, answering)
    return gathered.reports


async def look(estate: Estate, previous: Pass | None = None) -> Pass:
    """An observation and the pass over it."""
    return run_pass(estate.desired, await observe(estate), previous, estate.options)


async def settle_journal(estate: Estate) -> tuple[Settlement, ...]:
    """What an earlier process began and did not end: asked of the agents, recorded. Call it before planning."""
    begun = estate.store.journal.unsettled()
    if not begun and not estate.store.applies.running():
        return ()
    off = {proof.host for proof in estate.store.confirmations.current(estate.desired.data_center.uuid)}
    uuids = {name: host.uuid for name, host in estate.desired.hosts.items()}
    proven = [name for name, uuid in uuids.items() if uuid in off or name in off]
    states = _states(await observe(estate))
    leases = Leases(
        estate.fleet,
        data_center=estate.desired.data_center.uuid,
        holder=estate.applier.holder,
        epoch_above=max((state.lease.epoch for state in states.values()), default=0),
        takeover=estate.applier.takeover,
    )
    async with leases.kept():
        await leases.acquire(hosts_to_ask(begun, proven), states)
        return await settle(estate.store, estate.fleet, leases, proven)


def admit(estate: Estate, plan: Plan, fresh: Pass, *, expected: str = "") -> tuple[Objection, ...]:
    """Every reason not to apply `plan` now, judged by a fresh pass; empty if it may be applied."""
    digest = plan_digest(plan)
    locked = {
        **locked_by_orders(fresh.observed.open_orders),
        **locked_by_journal(estate.store.journal.unsettled()),
    }
    pauses = estate.store.pauses.all()
    paused = {
        name: reason
        for name in {step.object for step in plan.steps}
        for scope, reason in pauses.items()
        if scope in (name, plan.data_center, EVERYTHING)
    }
    judged = Fresh(
        planner=PLANNER,
        data_center_uuid=estate.desired.data_center.uuid,
        basis=basis_of(estate.desired, fresh.observed, plan.steps),
        observed=fresh.observed,
        locked=locked,
        paused=paused,
        applied=[one.apply_id for one in estate.store.applies.admitted(digest)],
    )
    return refuse_plan(plan, judged, digest=digest, expected=expected)


def prepare_run(
    estate: Estate, plan: Plan, fresh: Pass, watcher: Watcher | None, new_id: Callable[[], str] | None = None
) -> PlanRun:
    """The run of an admitted plan; the caller holds `store.exclusive()`."""
    digest = plan_digest(plan)
    apply_id = (new_id or new_apply_id)()
    ticket = Ticket(apply_id, plan_id(digest), digest, encode_plan(plan).decode())
    uuids = {name: host.uuid for name, host in estate.desired.hosts.items()}
    site = Site(estate.fleet, uuids, _states(fresh.reports))
    return PlanRun(plan, ticket, site=site, applier=estate.applier, store=estate.store, watcher=watcher)


def new_apply_id() -> str:
    """A name that no apply had before."""
    return secrets.token_hex(8)


def _states(reports: Reports) -> Mapping[str, HostState]:
    """State documents of the hosts that answered, by id."""
    return {
        one.host: one.state for one in reports.hosts if one.state is not None and one.status == "answering"
    }
