"""Whether an order may be taken: its form, its deadline, what it expects, and the proof it carries. Pure but for `look`.

The engine calls these in turn; each raises RefusedError, and then nothing was done.
"""

from collections.abc import Callable, Mapping
from typing import Any

from nodeagent.errors import RefusedError
from nodeagent.ledger import LONGEST_DEADLINE_MS
from nodeagent.operations.contract import Operation
from nodeagent.wire.arguments import Arguments, StartVm
from nodeagent.wire.codec import ContractError, arguments_of, order_digest
from nodeagent.wire.orders import Evidence, Expectation, HostEvidence, Order
from nodeagent.wire.version import MAJOR

Look = Callable[[str], dict[str, Any] | None]
"""A subject's facts, read now: None if it surely does not exist. Raises LookError."""

_REPLAN = "observe and plan anew"


class LookError(Exception):
    """A subject is of no known kind, or could not be read; an expectation about it is not met."""


def read_arguments(order: Order, operations: Mapping[str, Operation[Any]]) -> Arguments:
    """The typed arguments of an order that this agent can carry out and that is what its digest says."""
    if order.format.major != MAJOR or order.kind not in operations:
        raise RefusedError(
            "unsupported",
            f"this agent does not know `{order.kind}` in format {order.format.major}",
            "upgrade ostler-agent on this host",
        )
    try:
        arguments = arguments_of(order)
    except ContractError as error:
        raise RefusedError("invalid", f"arguments of `{order.kind}`: {error}") from error
    digest = order_digest(order.kind, order.object, order.arguments, order.expects, order.secret_digests)
    if not order.key or digest != order.digest:
        raise RefusedError("invalid", "the order has no key, or its digest is not that of its content")
    if not 0 < order.timeout_ms <= LONGEST_DEADLINE_MS:
        raise RefusedError("invalid", f"a timeout of {order.timeout_ms} ms; it must be within 1 ms and 24 h")
    return arguments


def refuse_late(order: Order, boot_id: str, now_ms: int) -> None:
    """Raises RefusedError once the deadline has passed, or for one of another boot or too far away to mean anything."""
    deadline = order.deadline
    if deadline.boot_id != boot_id:
        raise RefusedError("late", "the host has booted since this order was made", _REPLAN)
    if now_ms > deadline.boottime_ms:
        raise RefusedError(
            "late", f"the order came {now_ms - deadline.boottime_ms} ms after its deadline", _REPLAN
        )
    if deadline.boottime_ms - now_ms > LONGEST_DEADLINE_MS:
        raise RefusedError("invalid", "the deadline is more than 24 h away")


def refuse_unmet(expects: tuple[Expectation, ...], look: Look) -> None:
    """Raises RefusedError naming the first expectation that does not hold now."""
    for expectation in expects:
        found = _found(expectation, look)
        wanted = expectation.value
        if type(found) is not type(wanted) or found != wanted:
            raise RefusedError(
                "stale-expects",
                f"{expectation.subject} {expectation.field} is {found!r}, and the plan expects {wanted!r}",
                _REPLAN,
            )


def _found(expectation: Expectation, look: Look) -> Any:
    facts = _look(expectation.subject, look, "stale-expects")
    if expectation.field == "present":
        return facts is not None
    found: Any = facts
    for part in expectation.field.split("."):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list | tuple) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            missing = "does not exist" if facts is None else f"has no `{expectation.field}`"
            raise RefusedError("stale-expects", f"{expectation.subject} {missing}", _REPLAN)
    return found


def _look(subject: str, look: Look, reason: Any) -> dict[str, Any] | None:
    try:
        return look(subject)
    except LookError as error:
        raise RefusedError(reason, f"{subject}: {error}", _REPLAN) from error


def refuse_evidence(order: Order, arguments: Arguments, host: str, look: Look) -> None:
    """Raises RefusedError unless the order's proof that it makes no second writer still holds, as seen from here.

    A start needs one. `host` is this host's uuid. The guest's own absence is asked of `look("absence/<uuid>")`:
    `{"absent": bool, "reason": text}`.
    """
    evidence = order.evidence
    if isinstance(arguments, StartVm):
        if evidence is None or evidence.basis == "here":
            raise RefusedError("evidence", "a start needs proof that the VM runs nowhere", _REPLAN)
        _refuse_present(arguments.config.uuid, look)
        _refuse_record(evidence, arguments, host, look)
    elif evidence is not None and evidence.basis == "here":
        vm = getattr(arguments, "vm", None) or getattr(getattr(arguments, "config", None), "uuid", None)
        if vm is not None and _look(f"guest/{vm}", look, "evidence") is None:
            raise RefusedError("evidence", f"guest {vm} does not run here", _REPLAN)


def _refuse_present(vm: str, look: Look) -> None:
    absence = _look(f"absence/{vm}", look, "evidence")
    if absence is None or absence["absent"] is not True:
        reason = absence["reason"] if absence else "this host cannot tell"
        raise RefusedError("evidence", f"guest {vm} may run here: {reason}", _REPLAN)


def _refuse_record(evidence: Evidence, arguments: StartVm, host: str, look: Look) -> None:
    """The record on storage, read now, must say what the evidence says it says."""
    record = _look(f"record/{arguments.config.uuid}", look, "evidence")
    run = record["run"] if record else None
    number = run["number"] if run else 0
    if evidence.basis == "never-ran":
        if run is not None:
            raise RefusedError("evidence", f"the record has run {number}", _REPLAN)
        return
    if number != evidence.run:
        raise RefusedError("evidence", f"the record's last run is {number}, not {evidence.run}", _REPLAN)
    if evidence.basis == "closed" and (record is None or (run is not None and run["closed"] is None)):
        raise RefusedError("evidence", "the record shows no closed run", _REPLAN)
    if run is not None and run["closed"] is None:
        proofs = {proof.host: proof for proof in evidence.hosts}
        for runner in run["hosts"]:
            if runner["uuid"] != host:  # this host was looked at itself
                _refuse_proof(proofs.get(runner["uuid"]), runner)


def _refuse_proof(proof: HostEvidence | None, runner: dict[str, Any]) -> None:
    """Each other host of an open run needs its own proof."""
    if proof is None:
        raise RefusedError(
            "evidence", f"nothing proves that host {runner['uuid']} does not run the VM", _REPLAN
        )
    if proof.kind == "boot-changed" and proof.boot_id in (None, runner["boot_id"]):
        raise RefusedError("evidence", f"host {runner['uuid']} has not booted since the run began", _REPLAN)
    if proof.kind in ("fenced", "confirmed") and proof.boot_id != runner["boot_id"]:
        raise RefusedError(
            "evidence", f"that host {runner['uuid']} is off was not said of the boot of this run", _REPLAN
        )
