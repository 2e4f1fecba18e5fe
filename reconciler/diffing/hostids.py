"""Who holds which host id of the storage pool: given when a host is to connect, given back once nothing can need it.

A host that holds an id counts as one that may run VMs, so an id is taken away only from a host that cannot.
"""

from collections.abc import Mapping

from nodeagent.wire.facts import HostState
from reconciler.diffing.context import DiffContext, domain_exists, domain_readable
from reconciler.model.change import Blocked, Deferred
from reconciler.model.desired import Host
from reconciler.model.observed import HostObservation, Observed

MAX_HOST_ID = 250


def assign_host_ids(context: DiffContext) -> dict[str, int]:
    """Host ids by host uuid as they should be: those that stay, and the lowest free ones, in order of host ids, for
    hosts that answer and have none. A host beyond the 250th gets none. Where the pool's record was lost, hosts keep the
    ids that they remember.

    Without a record that was read, a declared host that does not answer has one set apart for it: it may have made the
    pool, and the others come to read that only once they have connected it.
    """
    held = context.observed.pool.host_ids if context.observed.pool else {}
    gone = _given_back(context, held)
    ids = {uuid: number for uuid, number in held.items() if uuid not in gone}
    if not held:
        ids = _remembered(context)
    free = iter(sorted(set(range(1, MAX_HOST_ID + 1)) - set(ids.values())))
    answering = [state.host_uuid for _, state in context.answering_hosts()]
    wanting = answering if held else [host.uuid for host in context.desired.hosts.values()]
    for uuid in (one for one in wanting if one not in ids):
        number = next(free, None)
        if number is not None and uuid in answering:
            ids[uuid] = number
    return ids


def _remembered(context: DiffContext) -> dict[str, int]:
    """The ids under which hosts have connected storage; of two with one id the first keeps it."""
    owners: dict[int, str] = {}
    for _, state in context.answering_hosts():
        if state.host_id is not None and 1 <= state.host_id <= MAX_HOST_ID:
            owners.setdefault(state.host_id, state.host_uuid)
    return {uuid: number for number, uuid in owners.items()}


def pool_out_of_reach(context: DiffContext) -> bool:
    """Whether there is a master domain whose pool record nobody could read."""
    master = context.master
    if master is None or context.observed.pool is not None:
        return False
    return not domain_readable(context, master) and domain_exists(context, master)


def objection_to_connecting(context: DiffContext, host: Host) -> Blocked | Deferred | None:
    """Why a host cannot connect storage: it has no host id, and can be given none now."""
    name = host.meta.id
    if not pool_out_of_reach(context):
        if host.uuid in context.host_ids:
            return None
        return Blocked(
            name,
            f"all {MAX_HOST_ID} host ids are taken by {_name_holders(context)}",
            "take the manifests of hosts away that are gone for good, and confirm that each is off: "
            "`ostler host confirm-off HOST`; their ids are given back",
        )
    remembering = {seen.id for seen, state in context.answering_hosts() if state.host_id is not None}
    if name in remembering:
        return None
    reason = "the pool's record could not be read, so it cannot be given a host id"
    if remembering:
        return Deferred(name, reason, "a host that has one has connected the domain with the records")
    return Blocked(name, reason, "bring a host back that was connected to storage before")


def uses_other_id(context: DiffContext, host: Host, state: HostState) -> bool:
    """Whether a host has connected storage with a host id that is not its own any more: it was off for so long that its
    id was given to another."""
    return bool(state.storage) and state.host_id not in (None, context.host_ids.get(host.uuid))


def objection_to_other_id(context: DiffContext, host: Host, state: HostState) -> Blocked | None:
    """Who must act until such a host can let go of its storage, which it does in maintenance, without guests."""
    number = context.host_ids.get(host.uuid)
    if number is not None and is_drained(state):
        return None
    holders = [uuid for uuid, held in context.host_ids.items() if held == state.host_id]
    named = {one.uuid: name for name, one in context.desired.hosts.items()}
    whose = f", which {named.get(holders[0], f'host/{holders[0]}')} has now" if holders else ""
    then = (
        f"its guests move, its storage is disconnected, and then connected with host id {number}"
        if number is not None
        else f"and give host ids back: all {MAX_HOST_ID} are taken by {_name_holders(context)}"
    )
    return Blocked(
        host.meta.id,
        f"it has connected storage with host id {state.host_id}{whose}; neither is anything connected or let go there",
        f"set maintenance: true on {host.meta.id}: {then}; then take it back",
    )


def is_drained(state: HostState) -> bool:
    """Whether a host is in maintenance, and surely without guests."""
    return state.maintenance and state.guests_complete and not (state.guests or state.processes)


def _name_holders(context: DiffContext) -> str:
    """`2 declared hosts and 248 that no manifest declares (host/…, host/…, …)`."""
    declared = {host.uuid for host in context.desired.hosts.values()}
    strange = sorted(uuid for uuid in context.host_ids if uuid not in declared)
    ours = len(context.host_ids) - len(strange)
    if not strange:
        return f"{ours} declared hosts"
    named = ", ".join(f"host/{uuid}" for uuid in strange[:3]) + (", …" if len(strange) > 3 else "")
    return f"{ours} declared hosts and {len(strange)} that no manifest declares ({named})"


def _given_back(context: DiffContext, held: Mapping[str, int]) -> frozenset[str]:
    """Uuids of hosts without a manifest that are done with storage, while all records say that no VM needs them.

    A proof may be older than a run, so it does not do alone: no open run may name the host.
    """
    observed = context.observed
    declared = {host.uuid for host in context.desired.hosts.values()}
    strange = held.keys() - declared
    if not strange or not observed.records_read:
        return frozenset()
    hosts = {one.uuid: one for one in observed.hosts.values() if one.uuid in strange}
    done = {uuid for uuid, host in hosts.items() if host.id in observed.off or _has_let_go(host)}
    return frozenset(done - _named_in_runs(observed)) if done else frozenset()


def _has_let_go(host: HostObservation) -> bool:
    """Whether a host answered in maintenance, without guests, and with all storage disconnected."""
    state = host.state
    if not host.answering or state is None:
        return False
    return is_drained(state) and not state.storage


def _named_in_runs(observed: Observed) -> set[str]:
    """Uuids of the hosts that open runs name."""
    runs = (vm.record.run for vm in observed.vms.values() if vm.record is not None)
    return {host.uuid for run in runs if run is not None and run.closed is None for host in run.hosts}
