"""What every part of the diff reads, and the findings that it hands back."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from nodeagent.wire.facts import HostState
from reconciler.diffing.abilities import Abilities
from reconciler.diffing.macs import MacLedger
from reconciler.model.change import Blocked, Change, Deferred, Drift, Effect, FieldChange, Identities
from reconciler.model.desired import Desired, StorageDomain
from reconciler.model.observed import HostObservation, Observed
from reconciler.model.placement import Placement

Finding = Change | Blocked | Deferred | Drift


@dataclass(frozen=True, slots=True)
class DiffContext:
    """Inputs of one diff. macs: who has which address; the one ledger that grows while new ones are assigned, in id order.

    bridges: by network, the bridge's name that holds in this plan. unusable: ids of disks that no guest can be given now.
    domains: the declared storage domains by uuid. names: ids of the declared VMs by uuid. asked: VMs of which a person asks something in this pass.
    abilities: by cluster, what all its hosts can do. having: by storage domain (uuid), the answering hosts that report it.
    host_ids: by host uuid, the ids in the pool as they should be. secret_digests: HMACs of readable secrets, by reference.
    locked: objects that a plan which is being carried out is about, with why nothing else is planned for them.
    """

    desired: Desired
    observed: Observed
    identities: Identities
    placement: Placement
    macs: MacLedger
    master: str | None
    workers: tuple[str, ...] = ()
    bridges: Mapping[str, str] = field(default_factory=dict)
    unusable: frozenset[str] = frozenset()
    domains: Mapping[str, StorageDomain] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    abilities: Mapping[str, Abilities] = field(default_factory=dict)
    having: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    host_ids: Mapping[str, int] = field(default_factory=dict)
    secret_digests: Mapping[str, str] = field(default_factory=dict)
    locked: Mapping[str, str] = field(default_factory=dict)

    def answering_hosts(self) -> Iterable[tuple[HostObservation, HostState]]:
        """Declared hosts of this data center that answer, with their state, by id."""
        return _answering_hosts(self.desired, self.observed)


def _answering_hosts(desired: Desired, observed: Observed) -> Iterator[tuple[HostObservation, HostState]]:
    for name in desired.hosts:
        seen = observed.hosts.get(name)
        if seen is None or not seen.answering or seen.state is None:
            continue
        if seen.belongs_to(desired.data_center.uuid):
            yield seen, seen.state


def find_having(desired: Desired, observed: Observed) -> dict[str, tuple[str, ...]]:
    """By storage domain (uuid), ids of the answering hosts that report it, whatever its state there."""
    having: dict[str, list[str]] = defaultdict(list)
    for seen, state in _answering_hosts(desired, observed):
        for one in state.storage:
            having[one.uuid].append(seen.id)
    return {uuid: tuple(hosts) for uuid, hosts in having.items()}


def find_workers(desired: Desired, observed: Observed) -> tuple[str, ...]:
    """Hosts that answer and are who they should be, by id: they can do work on storage."""
    found = ((name, host, observed.hosts.get(name)) for name, host in desired.hosts.items())
    return tuple(
        name
        for name, host, seen in found
        if seen
        and seen.answering
        and seen.state
        and seen.state.host_uuid == host.uuid
        and seen.belongs_to(desired.data_center.uuid)
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
    return uuid in context.having


def occupied_domains(observed: Observed) -> frozenset[str]:
    """Storage domains that hold a managed disk, or the copy of a managed VM's record."""
    disks = {
        one.storage_domain
        for one in observed.disks.values()
        if one.record is not None and one.record.managed and not one.record.removed
    }
    records = (one.record for one in observed.vms.values())
    copies = {one.copy_domain for one in records if one is not None and one.managed and not one.removed}
    return frozenset(disks | {uuid for uuid in copies if uuid is not None})


def domain_readable(context: DiffContext, uuid: str) -> bool:
    """Whether the domain's contents were read completely in this observation."""
    seen = context.observed.storage.get(uuid)
    return seen is not None and seen.contents is not None and seen.contents.complete


def objection_to_letting_go(context: DiffContext, uuid: str) -> str | None:
    """Why a storage domain that no manifest declares stays connected and listed; None if it may go."""
    if uuid == context.master:
        return "holds the records"
    if not domain_readable(context, uuid):
        return "could not be read, so what lies on it is not known"
    pool = context.observed.pool.domains if context.observed.pool else {}
    if any(other == uuid and name in context.desired.storage_domains for name, other in pool.items()):
        return "is declared with another uuid"
    return "holds disks or copies of records" if uuid in occupied_domains(context.observed) else None


def domain_name(context: DiffContext, uuid: str) -> str:
    """The id of a storage domain: as declared, as the pool lists it, else by its uuid."""
    pool = context.observed.pool.domains if context.observed.pool else {}
    declared = {one.meta.id: one.uuid for one in context.desired.storage_domains.values()}
    return next((name for name, other in {**pool, **declared}.items() if other == uuid), f"sd/{uuid}")


def objection_to_domain(context: DiffContext, domain: StorageDomain) -> Blocked | None:
    """Why a declared domain is not the one there is: another uuid than the pool lists, or local to another host."""
    pool = context.observed.pool.domains if context.observed.pool else {}
    known = pool.get(domain.meta.id, domain.uuid)
    if known != domain.uuid:
        return Blocked(
            domain.meta.id,
            "it keeps its uuid for life",
            "take spec.uuid back; or declare the other domain under another name",
            (FieldChange("sd.uuid", known, domain.uuid, Effect.REFUSE),),
        )
    if domain.host is None:
        return None
    elsewhere = next((host for host in context.having.get(domain.uuid, ()) if host != domain.host), None)
    if elsewhere is None:
        return None
    return Blocked(
        domain.meta.id,
        f"it is connected on {elsewhere}, and its manifest says that it lies on {domain.host} alone",
        "take type and host back; or make a new domain and move its disks",
        (FieldChange("sd.host", elsewhere, domain.host, Effect.REFUSE),),
    )
