"""The gates of a simulated agent, as the real one has them: epochs, leases, deadlines, ledgers, keys, evidence. Pure."""

from nodeagent.wire.arguments import ARGUMENTS, StartVm
from nodeagent.wire.codec import ContractError, arguments_of
from nodeagent.wire.orders import Evidence, Expectation, HostEvidence, LeaseRequest, Order, Refusal
from nodeagent.wire.records import RunHost, VmRecord
from reconciler.simulation.host import LedgerEntry, SimulatedHost
from reconciler.simulation.recovering import OPEN

EXCLUDES = {
    "set-maintenance": frozenset({"start-vm", "reboot-vm"}),
    "start-vm": frozenset({"set-maintenance"}),
    "reboot-vm": frozenset({"set-maintenance"}),
}
"""Kinds that are not taken while one of the others is open, whatever its object."""


def refuse_lease(host: SimulatedHost, request: LeaseRequest, now_ms: int) -> Refusal | None:
    """Why a lease is not given: another holder whose lease lasts, or a lower epoch."""
    if host.data_center not in (None, request.data_center):
        return Refusal(
            "other-data-center", f"{host.id} belongs to {host.data_center}", "correct the manifest"
        )
    if _is_held(host, request.holder, now_ms) and not request.takeover:
        return Refusal("held", f"{host.holder} holds the lease", "wait until it lapses, or `ostler takeover`")
    if request.epoch < host.epoch or (request.epoch == host.epoch and request.holder != host.holder):
        return Refusal("stale-epoch", f"epoch {host.epoch} was seen", "take a higher epoch")
    return None


def _is_held(host: SimulatedHost, holder: str, now_ms: int) -> bool:
    return host.holder != holder and now_ms < host.lease_until_ms


def refuse_holder(host: SimulatedHost, holder: str, epoch: int, now_ms: int) -> Refusal | None:
    """Why somebody may not order or revoke now: only the holder of a valid lease may, with its very epoch."""
    if epoch < host.epoch:
        return Refusal("stale-epoch", f"epoch {host.epoch} of {host.holder} was seen", "take the lease anew")
    if _is_held(host, holder, now_ms):
        return Refusal("held", f"{host.holder} holds the lease", "wait for its end")
    if (epoch, holder) != (host.epoch, host.holder) or not host.holds_lease(now_ms):
        return Refusal("no-lease", f"{holder} has no valid lease", "take it anew")
    return None


def refuse_order(
    host: SimulatedHost, order: Order, known: LedgerEntry | None, record: VmRecord | None, now_ms: int
) -> Refusal | None:
    """Why an order is not taken; nothing was done then. record: of the VM that it starts."""
    if known is not None:
        if known.order is None:
            return Refusal("revoked", "its key was revoked", "plan again")
        return Refusal("key-reused", "its key belongs to another order", "plan again")
    if order.kind not in ARGUMENTS:
        return Refusal("unsupported", f"unknown kind {order.kind}", "upgrade the agent")
    return (
        _busy(host, order)
        or _ledger(host, order)
        or refuse_holder(host, order.holder, order.epoch, now_ms)
        or _late(host, order, now_ms)
        or _expectation(host, order)
        or _evidence(host, order, record)
    )


def _busy(host: SimulatedHost, order: Order) -> Refusal | None:
    for entry in host.ledger.values():
        other = entry.order
        if other is None or entry.result.state not in OPEN:
            continue
        if other.object == order.object or other.kind in EXCLUDES.get(order.kind, ()):
            return Refusal("busy", f"{other.kind} of {other.object} is open here", "wait for its result")
    return None


def _ledger(host: SimulatedHost, order: Order) -> Refusal | None:
    if order.ledger_id != host.ledger_id:
        return Refusal("other-ledger", "the ledger is another one", "observe again")
    return Refusal("resync-needed", "the ledger is new", "resync first") if host.resync_needed else None


def _late(host: SimulatedHost, order: Order, now_ms: int) -> Refusal | None:
    if order.deadline.boot_id != host.boot_id:
        return Refusal("late", "the host has booted since it was made", "plan again")
    return (
        Refusal("late", "its deadline has passed", "plan again")
        if order.deadline.boottime_ms < now_ms
        else None
    )


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


def _evidence(host: SimulatedHost, order: Order, record: VmRecord | None) -> Refusal | None:
    """Whether the proof that no second writer comes of it still holds, as this host sees record and guests."""
    try:
        arguments = arguments_of(order)
    except ContractError as error:
        return Refusal("invalid", str(error))
    doubt = ""
    if isinstance(arguments, StartVm):
        doubt = _doubt_of_start(host, order.evidence, arguments.config.uuid, record)
    elif order.evidence is not None and order.evidence.basis == "here":
        vm = getattr(arguments, "vm", None) or getattr(getattr(arguments, "config", None), "uuid", None)
        doubt = f"guest {vm} does not run here" if vm is not None and vm not in host.guests else ""
    return Refusal("evidence", doubt, "observe and plan anew") if doubt else None


def _doubt_of_start(host: SimulatedHost, evidence: Evidence | None, vm: str, record: VmRecord | None) -> str:
    if evidence is None or evidence.basis == "here":
        return "a start needs proof that the VM runs nowhere"
    if vm in host.guests:
        return "it runs here"
    run = record.run if record else None
    number = run.number if run else 0
    if evidence.basis == "never-ran":
        return f"its record has run {number}" if run else ""
    if number != evidence.run:
        return f"its record's last run is {number}, not {evidence.run}"
    if run is None or run.closed is not None:
        return "its record shows no closed run" if record is None and evidence.basis == "closed" else ""
    if evidence.basis == "closed":
        return "its record shows no closed run"
    proofs = {proof.host: proof for proof in evidence.hosts}
    doubts = (_doubt_of_host(proofs.get(one.uuid), one) for one in run.hosts if one.uuid != host.uuid)
    return next((doubt for doubt in doubts if doubt), "")


def _doubt_of_host(proof: HostEvidence | None, runner: RunHost) -> str:
    if proof is None:
        return f"nothing proves that host {runner.uuid} does not run it"
    if proof.kind == "boot-changed" and proof.boot_id in (None, runner.boot_id):
        return f"host {runner.uuid} has not booted since its run began"
    if proof.kind in ("fenced", "confirmed") and proof.boot_id != runner.boot_id:
        return f"that host {runner.uuid} is off was not said of the boot of this run"
    return ""
