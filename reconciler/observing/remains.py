"""What is left of removed VMs besides their disks, on storage and on hosts, and for how long already.

Called by `assemble` for every observation: it costs what VMs keep, not what there is.
"""

from collections.abc import Iterable, Iterator, Mapping

from reconciler.model.observed import HostObservation, Remains, StorageObservation, VmObservation


def find_remains(
    hosts: Mapping[str, HostObservation],
    storage: Mapping[str, StorageObservation],
    vms: Mapping[str, VmObservation],
    wallclock_ms: int | None,
) -> tuple[Remains, ...]:
    """What answering hosts and readable domains hold of VMs that have a tombstone; wallclock_ms: ours, if it is known."""
    found = [
        Remains(vm, host, domain, aside, _age_ms(vms[vm], wallclock_ms))
        for host, domain, uuids, aside in _places(hosts, storage)
        for vm in uuids
        if _is_removed(vms.get(vm))
    ]
    return tuple(sorted(found, key=lambda one: (one.vm, one.host or "", one.storage_domain or "", one.aside)))


def _places(
    hosts: Mapping[str, HostObservation], storage: Mapping[str, StorageObservation]
) -> Iterator[tuple[str | None, str | None, Iterable[str], bool]]:
    for name, host in hosts.items():
        if host.answering and host.state is not None:
            yield name, None, host.state.kept, False
            yield name, None, host.state.set_aside, True
    for uuid, domain in storage.items():
        if domain.contents is not None:
            yield None, uuid, domain.contents.kept, False
            yield None, uuid, domain.contents.set_aside, True


def _is_removed(vm: VmObservation | None) -> bool:
    return vm is not None and vm.record is not None and vm.record.removed


def _age_ms(vm: VmObservation, wallclock_ms: int | None) -> int | None:
    removed_at_ms = vm.record.removed_at_ms if vm.record else None
    return None if wallclock_ms is None or removed_at_ms is None else wallclock_ms - removed_at_ms
