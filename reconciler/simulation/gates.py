"""The gates of a simulated agent: epochs, leases, deadlines, ledgers, keys. Pure."""

from nodeagent.wire.arguments import ARGUMENTS
from nodeagent.wire.orders import Expectation, LeaseRequest, Order, Refusal
from reconciler.simulation.host import LedgerEntry, SimulatedHost


def refuse_lease(host: SimulatedHost, request: LeaseRequest, now_ms: int) -> Refusal | None:
    """Why a lease is not given: a lower epoch, or another holder whose lease lasts."""
    if host.data_center not in (None, request.data_center):
        return Refusal(
            "other-data-center", f"{host.id} belongs to {host.data_center}", "correct the manifest"
        )
    held = host.lease_until_ms > now_ms and host.holder != request.holder
    if request.epoch < host.epoch or (request.epoch == host.epoch and request.holder != host.holder):
        return Refusal("stale-epoch", f"epoch {host.epoch} was seen", "take a higher epoch")
    if held and not request.takeover:
        return Refusal("held", f"{host.holder} holds the lease", "wait until it lapses, or `ostler takeover`")
    return None


def refuse_order(host: SimulatedHost, order: Order, known: LedgerEntry | None, now_ms: int) -> Refusal | None:
    """Why an order is not taken; nothing was done then."""
    if known is not None:
        if known.order is None:
            return Refusal("revoked", "the key was revoked", "plan again")
        return Refusal("key-reused", "the key belongs to another order", "plan again")
    if order.kind not in ARGUMENTS:
        return Refusal("unsupported", f"unknown kind {order.kind}", "upgrade the agent")
    if order.ledger_id != host.ledger_id:
        return Refusal("other-ledger", "the ledger is another one", "observe again")
    if host.resync_needed:
        return Refusal("resync-needed", "the ledger is new", "resync first")
    if order.epoch < host.epoch or order.holder != host.holder:
        return Refusal("stale-epoch", f"epoch {host.epoch} of {host.holder} was seen", "take the lease anew")
    if host.lease_until_ms <= now_ms:
        return Refusal("no-lease", "the lease has lapsed", "take it anew")
    if order.deadline.boot_id != host.boot_id or order.deadline.boottime_ms < now_ms:
        return Refusal("late", "the order came after its deadline", "plan again")
    return _expectation(host, order)


def _expectation(host: SimulatedHost, order: Order) -> Refusal | None:
    """Whether what the step relies on still holds."""
    broken = find_broken_expectation(host, order.expects)
    return Refusal("stale-expects", broken, "plan again") if broken is not None else None


def find_broken_expectation(host: SimulatedHost, expects: tuple[Expectation, ...]) -> str | None:
    """The first of these that does not hold here, in words; guests and networks are known, the rest passes."""
    for one in expects:
        topic, _, name = one.subject.partition("/")
        if one.field != "present" or topic not in ("guest", "network"):
            continue
        present = name in (host.guests if topic == "guest" else host.networks)
        if present != one.value:
            return f"{one.subject} is {'' if present else 'not '}present"
    return None
