"""Turns ledgers and records into what locks an object, and into the mark of its last order. Called by `assemble`."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping

from nodeagent.wire.records import DiskRecord, PoolRecord, VmRecord
from reconciler.model.observed import HostObservation, OpenOrder
from reconciler.observing.sightings import OPEN_STATES


def collect_open_orders(hosts: Mapping[str, HostObservation], off: Collection[str]) -> dict[str, OpenOrder]:
    """One open order an object, by object id: an unknown one first, as it must be settled, else by host and key.

    What a host said last counts also while it is silent: its order is settled only by a revocation, or by the
    host being off. off: uuids of hosts proven off.
    """
    found = [
        OpenOrder(host.id, one.key, one.kind, one.object, one.state)
        for host in hosts.values()
        if host.state is not None and host.uuid not in off
        for one in host.state.orders
        if one.state in OPEN_STATES
    ]
    found.sort(key=lambda one: (one.object, one.state != "unknown", one.host, one.key))
    chosen: dict[str, OpenOrder] = {}
    for order in found:
        chosen.setdefault(order.object, order)
    return chosen


def collect_last_orders(
    hosts: Mapping[str, HostObservation],
    records: Iterable[VmRecord | DiskRecord],
    pool: tuple[str, PoolRecord] | None,
    wanted: Collection[str] | None = None,
) -> dict[str, str]:
    """The mark of each object's last order, by object id, sorted: it changes with every order that any agent takes.

    Ledgers hold the last order of an object on their host, records that of the last order which wrote them, and
    nothing tells which is newer. So the mark is the key, where all name one; else `N orders, DIGEST` over all
    keys. Ledgers of silent hosts count as they were last seen. pool: the id of the data center with the pool's
    record. wanted: only these objects, if given.
    """
    marks: dict[str, str] = {}
    several: dict[str, set[str]] = {}
    for identifier, key in _keys(hosts, records, pool):
        if wanted is not None and identifier not in wanted:
            continue
        if key and marks.setdefault(identifier, key) != key:
            several.setdefault(identifier, {marks[identifier]}).add(key)
    for identifier, keys in several.items():
        digest = hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()
        marks[identifier] = f"{len(keys)} orders, {digest[:24]}"
    return {identifier: marks[identifier] for identifier in sorted(marks)}


def _keys(
    hosts: Mapping[str, HostObservation],
    records: Iterable[VmRecord | DiskRecord],
    pool: tuple[str, PoolRecord] | None,
) -> Iterator[tuple[str, str]]:
    """Object ids with the key of one of their orders, empty where a record names none."""
    for host in hosts.values():
        if host.state is not None:
            for one in host.state.orders:
                yield one.object, one.key
    for record in _last_incarnations(records):
        yield record.object, record.last_order
    if pool is not None:
        yield pool[0], pool[1].last_order


def _last_incarnations(records: Iterable[VmRecord | DiskRecord]) -> Iterable[VmRecord | DiskRecord]:
    """Of each object the record of its highest incarnation; tombstones below it had their last order long ago."""
    newest: dict[str, VmRecord | DiskRecord] = {}
    for record in records:
        other = newest.setdefault(record.object, record)
        if other is not record and _rank(record) > _rank(other):
            newest[record.object] = record
    return newest.values()


def _rank(record: VmRecord | DiskRecord) -> tuple[int, int, str]:
    return record.incarnation, record.revision, record.last_order
