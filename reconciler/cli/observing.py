"""Asking all hosts once; `ostler plan`, `get` and `explain` call it where no observed file is given."""

import asyncio

from reconciler.agentlink.gathering import gather
from reconciler.agentlink.protocol import Fleet
from reconciler.cli.clock import wallclock_ms
from reconciler.cli.confirmations import end_incidents, known_proofs
from reconciler.cli.fleet import host_names, open_fleet
from reconciler.model.desired import Desired
from reconciler.model.reports import Reports


def observe_now(desired: Desired) -> Reports:
    """One observation of a data center over the network."""
    return asyncio.run(_observe(desired))


async def _observe(desired: Desired) -> Reports:
    from reconciler.cli.attendance import looking

    async with open_fleet(desired) as fleet:
        with looking(fleet) as asked:
            return await ask_fleet(asked, desired)


async def ask_fleet(fleet: Fleet, desired: Desired) -> Reports:
    """One observation over links that are open already."""
    domains = [one.uuid for one in desired.storage_domains.values()]
    gathered = await gather(
        fleet,
        host_names(desired),
        domains,
        data_center=desired.data_center.meta.id,
        proofs=known_proofs(desired),
        wallclock=wallclock_ms,
    )
    end_incidents(desired, [one.uuid for one in gathered.reports.hosts if one.status == "answering"])
    return gathered.reports
