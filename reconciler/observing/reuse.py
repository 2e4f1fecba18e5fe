"""Turns a previous observation and the new documents into what may be taken over. Called by `assemble`.

Documents are compared by identity: a transport hands the same object over while an agent answers "not modified".
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from nodeagent.wire.facts import HostState
from reconciler.model.observed import HostObservation, Observed, Presence, StorageObservation, VmObservation
from reconciler.observing.domains import Standing
from reconciler.observing.records import Found
from reconciler.observing.sightings import listed_vms, starting_orders


@dataclass(frozen=True, slots=True)
class Carryover:
    """A previous observation on the same ground: the same data center, trust in its records, and hosts proven off.

    contents: whether every domain's contents are the very same, and so all that rests on storage alone. changed:
    ids of the hosts whose uuid, status or state document differ.
    """

    previous: Observed
    contents: bool
    changed: frozenset[str]


def compare_ground(
    previous: Observed, current: Observed, before: Standing, now: Standing
) -> Carryover | None:
    """What may be taken over into `current` (of which hosts, storage and off are read), None if nothing may.

    before, now: the standing of records in either.
    """
    same = (
        (previous.data_center, previous.data_center_uuid) == (current.data_center, current.data_center_uuid)
        and before == now
        and previous.off == current.off
    )
    if not same:
        return None
    return Carryover(
        previous,
        _same_contents(previous.storage, current.storage),
        frozenset(_changed_hosts(previous.hosts, current.hosts)),
    )


def _same_contents(one: Mapping[str, StorageObservation], other: Mapping[str, StorageObservation]) -> bool:
    return one.keys() == other.keys() and all(one[uuid].contents is other[uuid].contents for uuid in one)


def _changed_hosts(one: Mapping[str, HostObservation], other: Mapping[str, HostObservation]) -> Iterable[str]:
    for name in one.keys() | other.keys():
        old, new = one.get(name), other.get(name)
        if old is None or new is None or _differs(old, new):
            yield name


def _differs(old: HostObservation, new: HostObservation) -> bool:
    return old.state is not new.state or (old.uuid, old.status) != (new.uuid, new.status)


def suspect_vms(carryover: Carryover, hosts: Mapping[str, HostObservation]) -> set[str]:
    """VMs that hosts may have made different: those of which a changed host says or said anything, and weak ones."""
    return _weak_vms(carryover.previous) | _touched_vms(carryover, hosts)


def _touched_vms(carryover: Carryover, hosts: Mapping[str, HostObservation]) -> set[str]:
    previous = carryover.previous
    touched: set[str] = set()
    objects: set[str] = set()
    for name in carryover.changed:
        for host in (previous.hosts.get(name), hosts.get(name)):
            if host is not None and host.state is not None:
                touched |= listed_vms(host.state) | {one.vm for one in host.state.exits}
                objects.update(_started_objects(host.state))
    if objects:
        touched.update(uuid for uuid, vm in previous.vms.items() if vm.object in objects)
    return touched


def objects_ordered(carryover: Carryover, hosts: Mapping[str, HostObservation]) -> set[str]:
    """Ids of the objects of which the ledger of a changed host says or said anything."""
    return {
        order.object
        for name in carryover.changed
        for host in (carryover.previous.hosts.get(name), hosts.get(name))
        if host is not None and host.state is not None
        for order in host.state.orders
    }


def merge_marks(
    previous: Mapping[str, str], fresh: Mapping[str, str], touched: set[str]
) -> Mapping[str, str]:
    """The previous marks, those of touched objects replaced; the very same value if none differs."""
    if all(previous.get(identifier) == fresh.get(identifier) for identifier in touched):
        return previous
    merged = {name: mark for name, mark in previous.items() if name not in touched} | dict(fresh)
    return {name: merged[name] for name in sorted(merged)}


def _started_objects(state: HostState) -> Iterable[str]:
    return (order.object for order in starting_orders(state.orders))


def _weak_vms(previous: Observed) -> set[str]:
    """VMs whose observation rests on other hosts than the one that runs them: any host may change it."""
    uuids = {name: host.uuid for name, host in previous.hosts.items()}
    return {uuid for uuid, vm in previous.vms.items() if _is_weak(vm, uuids)}


def _is_weak(vm: VmObservation, uuids: Mapping[str, str]) -> bool:
    if vm.presence is not Presence.RUNNING:
        return vm.evidence is None or vm.evidence.basis != "closed"
    if vm.doubts:
        return True
    run = vm.record.run if vm.record is not None else None
    if run is None or run.closed is not None:
        return False
    return len(run.hosts) != 1 or run.hosts[0].uuid != uuids.get(vm.host or "")


def vms_with_other_records(previous: Observed, found: Mapping[str, Found]) -> set[str]:
    """VMs whose record differs, in content or in how far it counts, or came or went."""
    different = {
        uuid
        for uuid, one in found.items()
        if (old := previous.vms.get(uuid)) is None
        or old.record_state != one.state
        or (old.record is not one.record and old.record != one.record)
    }
    gone = {uuid for uuid, vm in previous.vms.items() if vm.record_state != "absent" and uuid not in found}
    return different | gone


def merge_vms(
    previous: Mapping[str, VmObservation], fresh: Mapping[str, VmObservation], suspects: Collection[str]
) -> Mapping[str, VmObservation]:
    """The previous VMs, suspects replaced by what was found of them now; the very same value if nothing differs."""
    kept = {uuid: old if (old := previous.get(uuid)) == vm and old else vm for uuid, vm in fresh.items()}
    gone = [uuid for uuid in suspects if uuid in previous and uuid not in kept]
    if not gone and all(previous.get(uuid) is vm for uuid, vm in kept.items()):
        return previous
    merged = {**previous, **kept}
    for uuid in gone:
        del merged[uuid]
    return {uuid: merged[uuid] for uuid in sorted(merged)}
