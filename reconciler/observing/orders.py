"""Turns ledgers and records into what locks an object, and into the mark of its last order. Called by `assemble`."""

import hashlib
from collections.abc import Collection, Iterable, Mapping

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
    vms: Iterable[VmRecord],
    disks: Iterable[DiskRecord],
    pool: tuple[str, PoolRecord] | None,
) -> dict[str, str]:
    """The mark of each object's last order, by object id, sorted: it changes with every order that any agent takes.

    Ledgers hold the last order of an object on their host, records that of the last order which wrote them, and
    nothing tells which is newer. So the mark is the key, where all name one; else `N orders, DIGEST` over all
    keys. pool: the id of the data center with the pool's record. Ledgers of silent hosts count as they were last seen.
    """
    single: dict[str, str] = {}
    several: dict[str, set[str]] = {}

    def add(identifier: str, key: str) -> None:
        if not key:
            return
        other = single.setdefault(identifier, key)
        if other != key:
            several.setdefault(identifier, {other}).add(key)

    for host in hosts.values():
        for one in host.state.orders if host.state is not None else ():
            add(one.object, one.key)
    for record in (*_last_incarnations(vms), *_last_incarnations(disks)):
        add(record.object, record.last_order)
    if pool is not None:
        add(pool[0], pool[1].last_order)
    for identifier, keys in several.items():
        digest = hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()
        single[identifier] = f"{len(keys)} orders, {digest[:24]}"
    return dict(sorted(single.items()))


def _last_incarnations(records: Iterable[VmRecord] | Iterable[DiskRecord]) -> list[VmRecord | DiskRecord]:
    """Of each object the record of its highest incarnation; tombstones below it had their last order long ago."""
    newest: dict[str, VmRecord | DiskRecord] = {}
    for record in records:
        other = newest.get(record.object)
        if other is None or _rank(record) > _rank(other):
            newest[record.object] = record
    return list(newest.values())


def _rank(record: VmRecord | DiskRecord) -> tuple[int, int, str]:
    return record.incarnation, record.revision, record.last_order
