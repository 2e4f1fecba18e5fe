"""One host's facts, collected at this moment: what a step is judged by directly before it is sent."""

import asyncio

from nodeagent.wire.facts import HostState
from reconciler.agentlink.protocol import AgentLinkError, Fleet

FRESH_S = 12.0


async def ask_host(host: str, fleet: Fleet, what: str) -> HostState | str:
    """The state document that a host collects now; else why there is none. what: `whether it runs the VM`."""
    link = fleet.get(host)
    if link is None:
        return f"{host} cannot be asked {what}: no agent's address is known"
    try:
        async with asyncio.timeout(FRESH_S):
            state = await link.state(fresh=True)
    except (AgentLinkError, TimeoutError) as error:
        return f"{host} cannot be asked {what}: {error or 'no answer in time'}"
    return f"{host} gave no facts" if state is None else state
