"""A VM that cannot start because it is larger than every host that may run it, even an empty one."""

from reconciler.diffing.context import DiffContext
from reconciler.model.change import Blocked
from reconciler.model.desired import VirtualMachine
from reconciler.model.fitting import HostCapacity, find_misfits


def block_oversize(context: DiffContext, vm: VirtualMachine) -> Blocked | None:
    """Why it can start nowhere, whatever else runs; None if some host could be large enough."""
    capacities = {
        seen.id: HostCapacity(
            state.capabilities.memory_bytes, state.capabilities.cores, state.capabilities.threads
        )
        for seen, state in context.answering_hosts()
    }
    hosts = (one for one in context.desired.hosts.values() if one.cluster == vm.cluster)
    found = tuple(find_misfits(vm, context.desired, hosts, capacities))
    if not found:
        return None
    reasons = [f"{one.summary} ({one.detail})" for one in found]
    reason = " and ".join(one if one.startswith("no ") else f"it {one}" for one in reasons)
    return Blocked(vm.meta.id, reason, "declare it smaller, or give it a larger host")
