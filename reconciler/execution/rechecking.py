"""The last look before a step that must not meet a second writer: the hosts of its evidence are read again, afresh.

Turns a step and what agents say now into the reason why it must not start; empty if it may.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nodeagent.wire.facts import HostState
from reconciler.agentlink.protocol import AgentLinkError, Fleet, HostUnreachableError
from reconciler.execution.asking import ask_host
from reconciler.model.plan import Step

MOST_SKEW_MS = 2_000
OFF_S = 3.0


BEGINS_GUEST = frozenset({"start-vm", "reboot-vm", "migrate-vm"})
OPEN = frozenset({"accepted", "running", "unknown"})


@dataclass(frozen=True, slots=True)
class Target:
    """The VM that a step is about: its uuid, and the object id by which orders name it."""

    uuid: str
    object: str


@dataclass(frozen=True, slots=True)
class Hosts:
    """Who is who: object id to uuid, and back. wallclock: ours, in ms, to compare theirs with."""

    uuids: Mapping[str, str]
    wallclock: Callable[[], int] | None = None

    @property
    def ids(self) -> dict[str, str]:
        """Uuid to object id."""
        return {uuid: name for name, uuid in self.uuids.items()}


def vm_of(step: Step) -> str | None:
    """The uuid of the VM that a step is about, if it is about one."""
    config = step.args.get("config")
    found = step.args.get("vm") or (config.get("uuid") if isinstance(config, dict) else None)
    return str(found) if found else None


async def recheck(step: Step, fleet: Fleet, hosts: Hosts) -> str:
    """Why a step's evidence does not hold now. Hosts that answered must answer again without the VM; hosts that
    were proven off must not answer at all. Before bytes are deleted for good the clocks must agree."""
    if step.kind in ("purge-disk", "purge-vm"):
        return await _must_agree(step.host, fleet, hosts)
    vm = vm_of(step)
    if vm is None:
        return ""
    ids = hosts.ids
    proofs = step.evidence.hosts if step.evidence else ()
    off = {ids.get(one.host, one.host) for one in proofs if one.kind in ("fenced", "confirmed")}
    without = {ids.get(one.host, one.host) for one in proofs if one.kind in ("answered", "boot-changed")}
    target = Target(vm, step.object)
    objections = await asyncio.gather(
        *(_must_be_without(target, host, fleet, hosts) for host in sorted({*step.leases, *without})),
        *(_must_be_off(host, fleet) for host in sorted(off)),
    )
    return next((objection for objection in objections if objection), "")


async def _must_be_without(vm: Target, host: str, fleet: Fleet, hosts: Hosts) -> str:
    state = await ask_host(host, fleet, "whether it runs the VM")
    if isinstance(state, str):
        return state
    return objection_in(vm, host, hosts.uuids.get(host), state)


async def _must_agree(host: str, fleet: Fleet, hosts: Hosts) -> str:
    """Why a host's wall clock does not show that a removed image has been kept long enough; empty if it may."""
    if hosts.wallclock is None:
        return "there is no clock to compare the host's with"
    state = await ask_host(host, fleet, "what time it is")
    if isinstance(state, str):
        return state
    if abs(state.wallclock_ms - hosts.wallclock()) > MOST_SKEW_MS:
        return f"the clock of {host} differs from ours by more than {MOST_SKEW_MS // 1000} s"
    return ""


def objection_in(vm: Target, host: str, uuid: str | None, state: HostState) -> str:
    """Why a state document does not prove that its host is without the VM; empty if it does.

    An order that begins a guest may have claimed its run and not begun it yet: then nothing shows of it but the order.
    """
    if uuid is not None and state.host_uuid != uuid:
        return f"the agent at the address of {host} says that it is host {state.host_uuid}"
    if any(guest.uuid == vm.uuid for guest in state.guests):
        return f"{host} runs the VM now"
    if vm.uuid in state.processes:
        return f"{host} has a QEMU process of the VM"
    for order in state.orders:
        if order.object == vm.object and order.kind in BEGINS_GUEST and order.state in OPEN:
            return f"{host} may be about to run the VM: its {order.kind} is {order.state}"
    if not state.guests_complete:
        return f"{host} does not know all its guests at this moment"
    return ""


async def _must_be_off(host: str, fleet: Fleet) -> str:
    link = fleet.get(host)
    if link is None:
        return ""
    try:
        async with asyncio.timeout(OFF_S):
            await link.state()
    except (HostUnreachableError, TimeoutError):
        return ""
    except AgentLinkError as error:
        return f"{host} was proven off, and something answers at its address: {error}"
    return f"{host} was proven off, and its agent answers"
