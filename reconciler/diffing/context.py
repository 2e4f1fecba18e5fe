"""What every part of the diff reads, and the findings that it hands back."""

from collections.abc import Iterable
from dataclasses import dataclass

from nodeagent.wire.facts import HostState
from reconciler.diffing.records import MacLedger
from reconciler.model.change import Blocked, Change, Deferred, Drift, Identities
from reconciler.model.desired import Desired
from reconciler.model.observed import HostObservation, Observed
from reconciler.model.placement import Placement

Finding = Change | Blocked | Deferred | Drift


@dataclass(frozen=True, slots=True)
class DiffContext:
    """Inputs of one diff. macs is the one ledger that grows while new addresses are assigned, in id order."""

    desired: Desired
    observed: Observed
    identities: Identities
    placement: Placement
    macs: MacLedger
    master: str | None
    workers: tuple[str, ...] = ()

    def answering_hosts(self) -> Iterable[tuple[HostObservation, HostState]]:
        """Declared hosts that answer, with their state, by id."""
        for name in self.desired.hosts:
            seen = self.observed.hosts.get(name)
            if seen is not None and seen.answering and seen.state is not None:
                yield seen, seen.state


def find_workers(desired: Desired, observed: Observed) -> tuple[str, ...]:
    """Hosts that answer and are who they should be, by id: they can do work on storage."""
    found = ((name, host, observed.hosts.get(name)) for name, host in desired.hosts.items())
    return tuple(
        name
        for name, host, seen in found
        if seen and seen.answering and seen.state and seen.state.host_uuid == host.uuid
    )


def workers_of(context: DiffContext, host: str | None) -> tuple[str, ...]:
    """Workers that reach a storage domain; `host`: the only one, if the domain is local."""
    return context.workers if host is None else tuple(one for one in context.workers if one == host)


def master_of(desired: Desired, observed: Observed) -> str | None:
    """The domain that holds the records: the observed master, else the first shared data domain declared."""
    if observed.master is not None:
        return observed.master
    domains = sorted(desired.storage_domains.values(), key=lambda one: (one.type == "localfs", one.meta.id))
    return domains[0].uuid if domains else None


def domain_exists(context: DiffContext, uuid: str) -> bool:
    """Whether a storage domain has been made: its contents were read, the pool lists it, or a host has it."""
    seen = context.observed.storage.get(uuid)
    if seen is not None and seen.contents is not None:
        return True
    pool = context.observed.pool
    if pool is not None and uuid in pool.domains.values():
        return True
    return any(one.uuid == uuid for _, state in context.answering_hosts() for one in state.storage)


def domain_readable(context: DiffContext, uuid: str) -> bool:
    """Whether the domain's contents were read completely in this observation."""
    seen = context.observed.storage.get(uuid)
    return seen is not None and seen.contents is not None and seen.contents.complete
