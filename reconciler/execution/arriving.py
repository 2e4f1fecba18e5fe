"""The last look at the host to which a guest is to move.

The source carries a migration out alone: the destination's agent gets no order that it could refuse. So its facts are
read under its lease, which keeps other appliers from changing them, directly before the source gets its order.
"""

import asyncio
from collections.abc import Mapping

from nodeagent.wire.facts import HostState
from reconciler.agentlink.protocol import Fleet
from reconciler.execution.asking import ask_host
from reconciler.execution.rechecking import OPEN, Hosts
from reconciler.model.plan import Step

LOOK_AGAIN_S = 2.0


async def await_destination(step: Step, fleet: Fleet, hosts: Hosts, limits: Mapping[str, int]) -> str:
    """Why the guest of a migration must not come now, empty if it may; waits while too many others arrive there.

    limits: how many guests may arrive at once, by host; any number at the others.
    """
    destination = str(step.args["destination"])
    host = hosts.ids.get(destination, destination)
    most = limits.get(host, 0)
    end_s = _now() + step.timeout_ms / 1000
    while True:
        state = await ask_host(host, fleet, "whether it takes guests")
        if isinstance(state, str):
            return state
        objection = objection_to_arrival(host, str(step.args["destination_boot_id"]), state)
        coming = sum(guest.state == "incoming" for guest in state.guests)
        if objection or not most or coming < most:
            return objection
        if _now() >= end_s:
            return f"{host} takes in {coming} other guests all the time, its limit"
        await asyncio.sleep(LOOK_AGAIN_S)


def objection_to_arrival(host: str, boot_id: str, state: HostState) -> str:
    """Why a host takes no guest, as its facts say; empty if it may. boot_id: of the boot for which a run is claimed."""
    if state.maintenance:
        return f"{host} is in maintenance"
    if any(order.kind == "set-maintenance" and order.state in OPEN for order in state.orders):
        return f"{host} is about to change its maintenance"
    if state.boot_id != boot_id:
        return f"{host} has booted since the plan was made"
    return ""


def _now() -> float:
    return asyncio.get_running_loop().time()
