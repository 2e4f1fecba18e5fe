"""What the rules read: every input of planning, with the few look-ups that several rules need."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from nodeagent.wire.orders import Evidence
from reconciler.model.change import Change, Changes, Identities, Verb
from reconciler.model.desired import Cluster, Desired, StorageDomain, VirtualMachine
from reconciler.model.observed import HostObservation, Observed, VmObservation
from reconciler.model.placement import Placement


class PlanningError(Exception):
    """A bug: a change that no rule can turn into steps."""


@dataclass(frozen=True, slots=True)
class PlanContext:
    """Inputs of planning. workers: hosts that answer and are who they should be, by id, to do work on storage.

    newcomer_leases: hosts whose leases are held while a VM starts of which nobody has ever heard.
    """

    desired: Desired
    observed: Observed
    identities: Identities
    placement: Placement
    changes: Changes
    workers: tuple[str, ...] = ()
    domains: dict[str, StorageDomain] = field(default_factory=dict)
    created: dict[str, str] = field(default_factory=dict)
    newcomer_leases: tuple[str, ...] = ()

    @property
    def master(self) -> str:
        """The uuid of the domain that holds the records. Raises PlanningError if there is none to be."""
        if self.changes.master is None:
            raise PlanningError("a VM or disk is to change and there is no storage domain for its record")
        return self.changes.master

    def host(self, identifier: str) -> HostObservation:
        """An observed host by id."""
        return self.observed.hosts[identifier]

    def seen(self, vm: str) -> VmObservation | None:
        """The observation of a declared VM."""
        return self.observed.vms.get(self.identities.vms.get(vm, ""))

    def cluster_of(self, vm: VirtualMachine) -> Cluster:
        """A VM's cluster."""
        return self.desired.clusters[vm.cluster]

    def worker_for(self, storage: str, preferred: str | None = None, also: str | None = None) -> str:
        """The host that does work on a storage domain: the preferred one if it can, else its maker, else the first.

        also: a second domain that it must reach.
        """
        able = self._able(storage, also)
        if preferred in able:
            return str(preferred)
        maker = self.created.get(storage)
        if maker in able:
            return str(maker)
        if not able:
            raise PlanningError(f"no host that answers can reach storage domain {storage}")
        return next((one for one in able if self.is_connected(one, storage)), able[0])

    def _able(self, storage: str, also: str | None) -> tuple[str, ...]:
        """Workers that reach one storage domain, or two."""
        places = [self.domains.get(uuid) for uuid in (storage, also) if uuid is not None]
        local = {domain.host for domain in places if domain is not None and domain.host is not None}
        if not local:
            return self.workers
        return tuple(one for one in self.workers if local == {one})

    def is_connected(self, host: str, storage: str) -> bool:
        """Whether the host reports the storage domain as active now."""
        state = self.observed.hosts[host].state
        return state is not None and any(
            one.uuid == storage and one.state == "active" for one in state.storage
        )

    def of_verb(self, *verbs: Verb) -> Iterator[Change]:
        """Changes with one of these verbs, in their order."""
        return (one for one in self.changes.changes if one.verb in verbs)


def plan_context(
    desired: Desired, observed: Observed, identities: Identities, placement: Placement, changes: Changes
) -> PlanContext:
    """The context of one planning pass."""
    workers = tuple(
        name
        for name, host in desired.hosts.items()
        if (seen := observed.hosts.get(name))
        and seen.answering
        and seen.state
        and seen.state.host_uuid == host.uuid
        and seen.belongs_to(desired.data_center.uuid)
    )
    domains = {one.uuid: one for one in desired.storage_domains.values()}
    created = {
        desired.storage_domains[one.object].uuid: one.host
        for one in changes.changes
        if one.verb is Verb.CREATE and one.object in desired.storage_domains and one.host
    }
    leases = leases_of(desired, observed.newcomer_evidence)
    return PlanContext(
        desired, observed, identities, placement, changes, workers, domains, created, newcomer_leases=leases
    )


def leases_of(desired: Desired, evidence: Evidence | None) -> tuple[str, ...]:
    """Ids of the hosts whose answers are the evidence."""
    found = evidence.hosts if evidence is not None else ()
    answered = {one.host for one in found if one.kind in ("answered", "boot-changed")}
    return tuple(name for name, host in desired.hosts.items() if host.uuid in answered) if answered else ()
