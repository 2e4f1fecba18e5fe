"""What a pass is measured against in the same run: work over the very same VMs that cannot be anything but linear."""

import time
from collections.abc import Iterable, Iterator

from reconciler.diffing.compare import same_guest
from reconciler.diffing.guests import expected_guest
from reconciler.model.desired import VirtualMachine
from reconciler.pipeline import Pass

IN_CACHE = 50
"""VMs at a time: what is declared and known of them stays in a processor's own cache (L2)."""


def read_once(done: Pass) -> dict[str, tuple[int, str | None, bool]]:
    """Three fields of every VM and of what runs, into one dictionary: the least that any look at all VMs can do."""
    return {name: _read(done, vm) for name, vm in done.desired.vms.items()}


def _read(done: Pass, vm: VirtualMachine) -> tuple[int, str | None, bool]:
    seen = done.observed.vms[done.identities.vms[vm.meta.id]]
    assert seen.record is not None and seen.guest is not None and seen.guest.config is not None
    return vm.cpu.sockets, seen.host, seen.guest.config.memory.current_bytes == vm.memory_bytes


def compare_guests(done: Pass, vms: Iterable[VirtualMachine]) -> None:
    """The heart of the diff alone: the guest that each VM should be, made and compared with the one that runs."""
    bridges = {name: one.bridge for name, one in done.desired.networks.items()}
    for vm in vms:
        seen = done.observed.vms[done.identities.vms[vm.meta.id]]
        assert seen.record is not None and seen.guest is not None and seen.guest.config is not None
        run = seen.guest.config.run
        guest = expected_guest(done.desired, done.observed, done.identities, vm, seen.record, run, bridges)
        assert same_guest(guest, seen.guest.config)


def seconds_in_cache(done: Pass) -> float:
    """CPU seconds of `compare_guests` where memory costs nothing: a few VMs at a time, and only when they are looked
    at for the second time. The same calls on the same VMs."""
    taken = 0.0
    for few in _batches(list(done.desired.vms.values())):
        compare_guests(done, few)
        begin = time.process_time()
        compare_guests(done, few)
        taken += time.process_time() - begin
    return taken


def _batches(vms: list[VirtualMachine]) -> Iterator[list[VirtualMachine]]:
    for start in range(0, len(vms), IN_CACHE):
        yield vms[start : start + IN_CACHE]
