"""VMs that are larger than every host which may run them, once it is known how large the hosts are.

Manifests alone cannot tell. `desired` makes problems of it, at their fields; `diffing` says it of a VM that cannot start.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.model.capacity import MIB, room_for_guests, vm_footprint
from reconciler.model.desired import Desired, Host, VirtualMachine
from reconciler.model.quantities import format_bytes


@dataclass(frozen=True, slots=True)
class HostCapacity:
    """How large a host is: physical memory, CPU cores and threads."""

    memory_bytes: int
    cores: int
    threads: int


@dataclass(frozen=True, slots=True)
class Misfit:
    """A field by which a VM is too large, and what there is."""

    field: str
    summary: str
    detail: str


def find_misfits(
    vm: VirtualMachine, desired: Desired, hosts: Iterable[Host], capacities: Mapping[str, HostCapacity]
) -> Iterator[Misfit]:
    """What makes a VM larger than each of these hosts that may run it, even an empty one.

    hosts: those of its cluster. capacities: by host id; a VM that a host of unknown size may run is left alone.
    Memory is the VM's and QEMU's own, against what placement may give guests; a host offers cores, or threads
    where its cluster counts threads as cores.
    """
    allowed = [one for one in hosts if not vm.hosts or one.meta.id in vm.hosts]
    known = [capacities[one.meta.id] for one in allowed if one.meta.id in capacities]
    if known and len(known) == len(allowed):
        yield from _compare(vm, known, desired)


def _compare(vm: VirtualMachine, known: list[HostCapacity], desired: Desired) -> Iterator[Misfit]:
    cluster = desired.clusters.get(vm.cluster)
    by_threads = cluster is not None and cluster.count_threads_as_cores
    cpus = [one.threads if by_threads else one.cores for one in known]
    percent = cluster.memory_overcommit_percent if cluster is not None else 100
    rooms = [room_for_guests(one.memory_bytes, percent) for one in known]
    needed = vm_footprint(vm)
    fit_memory = [room >= needed for room in rooms]
    fit_cpus = [count >= vm.cpu.vcpus for count in cpus]
    if any(memory and cpu for memory, cpu in zip(fit_memory, fit_cpus, strict=True)):
        return
    allowed = "host that it is pinned to" if vm.hosts else f"host of {vm.cluster}"
    if not any(fit_memory):
        summary = f"needs {format_bytes(-(-needed // MIB) * MIB)} of memory, more than every {allowed} has for guests"
        yield Misfit("spec.memory", summary, f"the largest has {format_bytes(max(rooms) // MIB * MIB)}")
    if not any(fit_cpus):
        unit = "threads" if by_threads else "cores"
        summary = f"has {vm.cpu.vcpus} vCPUs, more than every {allowed} has {unit}"
        yield Misfit("spec.cpu", summary, f"the largest has {max(cpus)}")
    if any(fit_memory) and any(fit_cpus):
        summary = f"no {allowed} has both the memory and the CPUs for it"
        yield Misfit("spec.memory", summary, "declare less memory or fewer vCPUs")
