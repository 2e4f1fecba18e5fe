"""Storage domains, the pool's record, and their connections to hosts."""

from collections.abc import Iterator
from dataclasses import replace

from nodeagent.wire.arguments import (
    ConnectStorageDomain,
    CreateStorageDomain,
    DisconnectStorageDomain,
    StorageConnection,
    WritePoolRecord,
)
from nodeagent.wire.records import PoolRecord
from reconciler.model.change import OTHER_HOST_ID, Change, Reason, Verb
from reconciler.model.desired import StorageDomain
from reconciler.model.names import name_of
from reconciler.model.plan import Estimate, Step
from reconciler.planning.context import PlanContext, PlanningError
from reconciler.planning.steps import make_step

MOUNT_TIMEOUT_MS = 120_000


def plan_storage(context: PlanContext) -> Iterator[Step]:
    """Steps that make domains, write the pool's record, connect and disconnect."""
    for change in context.of_verb(Verb.CREATE):
        domain = context.desired.storage_domains.get(change.object)
        if domain is not None and change.host is not None:
            master = domain.uuid == context.changes.master
            yield make_step(
                change,
                CreateStorageDomain(
                    domain.uuid,
                    domain.meta.name,
                    context.desired.data_center.uuid,
                    connection_of(domain),
                    master,
                ),
                verb="create",
                host=change.host,
                summary=f"make {domain.type} data domain at {domain.path}{', it holds the records' if master else ''}",
                timeout_ms=MOUNT_TIMEOUT_MS,
            )
    yield from _pool(context)
    yield from _connections(context)


def connection_of(domain: StorageDomain) -> StorageConnection:
    """How a host reaches the domain."""
    return StorageConnection(domain.type, domain.path, domain.vfs_type, domain.mount_options)


def _pool(context: PlanContext) -> Iterator[Step]:
    """Writing the pool's record where it changes: first what is there, then the domains that this plan makes beside
    the master, so that one that cannot be made holds up nothing else."""
    record = context.changes.pool
    if record is None or not context.workers:
        return
    new = {
        name for name, uuid in record.domains.items() if uuid in context.created and uuid != context.master
    }
    first = replace(record, domains={name: uuid for name, uuid in record.domains.items() if name not in new})
    old = context.observed.pool
    revision = record.revision
    verb = "write-pool-record"
    if old is None or (first.host_ids, first.domains) != (old.host_ids, old.domains):
        yield _write_pool(context, replace(first, revision=revision), verb, "host-ids")
        revision, verb = revision + 1, f"{verb}.2"
    if new:
        yield _write_pool(context, replace(record, revision=revision), verb, "storage-made")


def _write_pool(context: PlanContext, record: PoolRecord, verb: str, rule: str) -> Step:
    """One write of the pool's record."""
    hosts, domains = len(record.host_ids), len(record.domains)
    return make_step(
        None,
        WritePoolRecord(context.master, record),
        identifier=context.desired.data_center.meta.id,
        verb=verb,
        host=context.worker_for(context.master),
        summary=f"record {hosts} host id{_s(hosts)} and {domains} storage domain{_s(domains)}",
        because=(Reason(rule),),
    )


def _s(number: int) -> str:
    return "" if number == 1 else "s"


def _name_in_pool(context: PlanContext, uuid: str) -> str:
    """The id under which the pool lists a domain, else one made of its uuid."""
    listed = context.observed.pool.domains if context.observed.pool else {}
    return next((name for name, other in listed.items() if other == uuid), f"sd/{uuid[:8]}")


def _own_host_id(context: PlanContext, host: str) -> int | None:
    """The id that a host remembers, for as long as the pool's record cannot be read."""
    state = context.host(host).state
    return state.host_id if state is not None and context.observed.pool is None else None


def _why_let_go(change: Change) -> str:
    """Why a host disconnects a storage domain."""
    reason = change.because[0]
    if reason.rule == OTHER_HOST_ID:
        return f"connected as host id {reason.ref}, which is another host's now"
    return "which no manifest declares"


def _connections(context: PlanContext) -> Iterator[Step]:
    """Connecting and disconnecting, host by host."""
    pool = context.changes.pool or context.observed.pool
    ids = pool.host_ids if pool else {}
    for change in context.of_verb(Verb.CONNECT, Verb.DISCONNECT):
        host, subject = str(change.host), str(change.subject)
        if change.verb is Verb.DISCONNECT:
            name = _name_in_pool(context, subject)
            yield make_step(
                change,
                DisconnectStorageDomain(subject),
                verb=f"disconnect-{name_of(name)}",
                host=host,
                summary=f"let go of {name}, {_why_let_go(change)}",
                timeout_ms=MOUNT_TIMEOUT_MS,
            )
            continue
        domain = context.desired.storage_domains[subject]
        number = ids.get(context.desired.hosts[host].uuid) or _own_host_id(context, host)
        if number is None:
            raise PlanningError(f"{host} is to connect {subject} and has no host id")
        yield make_step(
            change,
            ConnectStorageDomain(
                domain.uuid, context.desired.data_center.uuid, connection_of(domain), number
            ),
            verb=f"connect-{name_of(subject)}",
            host=host,
            summary=f"connect {subject} as host id {number}",
            estimate=Estimate(seconds=1),
            timeout_ms=MOUNT_TIMEOUT_MS,
        )
