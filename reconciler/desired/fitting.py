"""VMs that are larger than every host of their cluster, once it is known how large the hosts are.

Called by the pipeline, which has the hosts' capacities; manifests alone cannot tell.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler.desired.places import Places
from reconciler.model.capacity import MIB, room_for_guests, vm_footprint
from reconciler.model.desired import Desired, Host, VirtualMachine
from reconciler.model.quantities import format_bytes
from reconciler.problems import Problem


@dataclass(frozen=True, slots=True)
class HostCapacity:
    """How large a host is: physical memory, CPU cores and threads."""

    memory_bytes: int
    cores: int
    threads: int


def check_against_hosts(
    desired: Desired, capacities: Mapping[str, HostCapacity], places: Places | None = None
) -> tuple[Problem, ...]:
    """Problems of VMs that no host which may run them is large enough for, even when it is empty.

    capacities: by host id. A VM that a host of unknown size may run is left alone. Memory is the VM's and
    QEMU's own, against what placement may give guests; a host offers cores, or threads where its
    cluster counts threads as cores.
    """
    by_cluster: dict[str, list[Host]] = {}
    for host in desired.hosts.values():
        by_cluster.setdefault(host.cluster, []).append(host)
    problems: list[Problem] = []
    for vm in desired.vms.values():
        hosts = [one for one in by_cluster.get(vm.cluster, ()) if not vm.hosts or one.meta.id in vm.hosts]
        known = [capacities[one.meta.id] for one in hosts if one.meta.id in capacities]
        if hosts and len(known) == len(hosts):
            problems.extend(_check_vm(vm, known, desired))
    if places is None:
        return tuple(problems)
    found = places.find_all([(problem.object, problem.field) for problem in problems])
    return tuple(
        replace(problem, where=where or problem.where) for problem, where in zip(problems, found, strict=True)
    )


def _check_vm(vm: VirtualMachine, known: list[HostCapacity], desired: Desired) -> Iterator[Problem]:
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
        yield _problem(vm, "spec.memory", summary, f"the largest has {format_bytes(max(rooms) // MIB * MIB)}")
    if not any(fit_cpus):
        unit = "threads" if by_threads else "cores"
        summary = f"has {vm.cpu.vcpus} vCPUs, more than every {allowed} has {unit}"
        yield _problem(vm, "spec.cpu", summary, f"the largest has {max(cpus)}")
    if any(fit_memory) and any(fit_cpus):
        summary = f"no {allowed} has both the memory and the CPUs for it"
        yield _problem(vm, "spec.memory", summary, "declare less memory or fewer vCPUs")


def _problem(vm: VirtualMachine, field: str, summary: str, detail: str) -> Problem:
    return Problem(summary, detail, object=vm.meta.id, field=field, where=vm.meta.where)
