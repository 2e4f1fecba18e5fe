"""What an agent finds out, at its start, about the orders that an earlier life of it had begun. Nothing is done anew."""

from collections.abc import Mapping

from nodeagent.wire.arguments import MigrateVm, StartVm
from nodeagent.wire.codec import arguments_of
from nodeagent.wire.orders import Order, OrderResult
from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.records import SimulatedRecords, open_records
from reconciler.simulation.storage import SimulatedStorage

OPEN = ("accepted", "running")


def recover_orders(storage: Mapping[str, SimulatedStorage], host: SimulatedHost) -> None:
    """Gives every open order of the ledger a result; a migration that still runs keeps its own."""
    for entry in host.ledger.values():
        if entry.order is not None and entry.result.state in OPEN:
            entry.result = _look_after(storage, host, entry.order) or entry.result
    host.changed()


def _look_after(
    storage: Mapping[str, SimulatedStorage], host: SimulatedHost, order: Order
) -> OrderResult | None:
    arguments = arguments_of(order)
    if isinstance(arguments, StartVm):
        return _start(open_records(storage, host, arguments.master), host, order, arguments)
    if isinstance(arguments, MigrateVm):
        return _migration(storage[arguments.master], host, order, arguments)
    return OrderResult(order.key, "unknown", "the agent was restarted in the middle")


def _start(records: SimulatedRecords, host: SimulatedHost, order: Order, wanted: StartVm) -> OrderResult:
    """The guest is here, or its claim is closed: nothing of it can come to life any more."""
    uuid, number = wanted.config.uuid, wanted.config.run
    if uuid in host.guests:
        return OrderResult(order.key, "succeeded", "found done after a restart of the agent")
    record = records.master.vms.get(uuid)
    run = record.run if record else None
    if run is not None and run.number == number and [one.uuid for one in run.hosts] == [host.uuid]:
        records.close_run(uuid, number, "failed", order.key)
    return OrderResult(order.key, "failed", "found not done after a restart of the agent", "plan anew")


def _migration(
    domain: SimulatedStorage, host: SimulatedHost, order: Order, wanted: MigrateVm
) -> OrderResult | None:
    """While the guest is here, its migration goes on without the agent; after a power cut nobody can tell."""
    if wanted.vm in host.guests:
        return None
    run = domain.vms[wanted.vm].run
    if run is None or run.number < wanted.run:
        return OrderResult(order.key, "failed", "found not begun after a restart of the agent", "plan anew")
    return OrderResult(order.key, "unknown", "the agent was restarted in the middle")
