"""Storage domains, the pool's record, and their connections to hosts."""

from collections.abc import Iterator

from nodeagent.wire.arguments import (
    ConnectStorageDomain,
    CreateStorageDomain,
    DisconnectStorageDomain,
    StorageConnection,
    WritePoolRecord,
)
from reconciler.model.change import Reason, Verb
from reconciler.model.desired import StorageDomain
from reconciler.model.names import name_of
from reconciler.model.plan import Estimate, Step
from reconciler.planning.context import PlanContext
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
    """Writing the pool's record where it changes."""
    record = context.changes.pool
    if record is None or not context.workers:
        return
    yield make_step(
        None,
        WritePoolRecord(context.master, record),
        identifier=context.desired.data_center.meta.id,
        verb="write-pool-record",
        host=context.worker_for(context.master),
        summary=f"record {len(record.host_ids)} host ids and {len(record.domains)} storage domains",
        because=(Reason("host-ids"),),
    )


def _connections(context: PlanContext) -> Iterator[Step]:
    """Connecting and disconnecting, host by host."""
    pool = context.changes.pool or context.observed.pool
    ids = pool.host_ids if pool else {}
    for change in context.of_verb(Verb.CONNECT, Verb.DISCONNECT):
        host, subject = str(change.host), str(change.subject)
        if change.verb is Verb.DISCONNECT:
            yield make_step(
                change,
                DisconnectStorageDomain(subject),
                verb=f"disconnect-{subject[:8]}",
                host=host,
                summary=f"let go of storage domain {subject}",
                timeout_ms=MOUNT_TIMEOUT_MS,
            )
            continue
        domain = context.desired.storage_domains[subject]
        number = ids.get(context.desired.hosts[host].uuid)
        if number is None:
            continue
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
