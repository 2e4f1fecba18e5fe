"""A step as the order that its agent gets: final arguments, secrets with their digests, epoch, deadline.

`delivery` calls it directly before an order is sent for the first time; a repetition sends the same value.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from nodeagent.wire.codec import order_digest
from nodeagent.wire.orders import Deadline, Order
from reconciler.execution.leases import HeldLease
from reconciler.model.desired import Desired
from reconciler.model.plan import Step

SHORTEST_DEADLINE_MS = 5_000

Secrets = Callable[[str], str]
"""The value of a secret named `NAME/KEY`. Raises SecretUnavailableError."""


class SecretUnavailableError(Exception):
    """A secret cannot be read; the message names it, says what to do, and never holds a value."""


def no_secrets(reference: str) -> str:
    """For estates without secrets: refuses every reference."""
    raise SecretUnavailableError(
        f"no source of secrets is set up, and {reference} is needed; say --secrets DIR"
    )


def order_key(apply_id: str, step_id: str) -> str:
    """The idempotency key of a step in one apply."""
    return f"{apply_id}/{step_id}"


def secret_digest(digest_key: bytes, reference: str, value: str) -> str:
    """HMAC-SHA-256 (hex) of a secret under the data center's key; two references never share a digest."""
    return hmac.new(digest_key, f"{reference}\0{value}".encode(), hashlib.sha256).hexdigest()


def digest_secrets(desired: Desired, secrets: Secrets, digest_key: bytes) -> dict[str, str]:
    """HMACs by reference of the secrets that manifests name, as far as they can be read here; the values go no further.

    Without a digest key there are none.
    """
    if not digest_key:
        return {}
    names = sorted({str(vm.vnc.password) for vm in desired.vms.values() if vm.vnc and vm.vnc.password})
    found = {}
    for name in names:
        with suppress(SecretUnavailableError):
            found[name] = secret_digest(digest_key, name, secrets(name))
    return found


def make_order(
    step: Step,
    *,
    key: str,
    data_center: str,
    lease: HeldLease,
    now_s: float,
    outputs: Mapping[str, Mapping[str, Any]],
    secrets: Secrets,
    digest_key: bytes,
) -> Order:
    """The order for a step. data_center: uuid; now_s: loop time; outputs: of steps that succeeded, by step id.

    Raises SecretUnavailableError, and LookupError for an output that no earlier step gave.
    """
    if step.secrets and not digest_key:
        raise SecretUnavailableError("the data center's digest key is missing; `ostler pki init` makes it")
    values = {reference: secrets(reference) for reference in step.secrets}
    digests = {name: secret_digest(digest_key, name, value) for name, value in values.items()}
    arguments = fill_in(dict(step.args), outputs)
    return Order(
        key=key,
        kind=step.kind,
        object=step.object,
        data_center=data_center,
        holder=lease.grant.holder,
        epoch=lease.grant.epoch,
        ledger_id=lease.grant.ledger_id,
        deadline=deadline_of(lease, now_s, step.timeout_ms),
        digest=order_digest(step.kind, step.object, arguments, step.expects, digests),
        arguments=arguments,
        expects=step.expects,
        evidence=step.evidence,
        timeout_ms=step.timeout_ms,
        secrets=values,
        secret_digests=digests,
    )


def deadline_of(lease: HeldLease, now_s: float, timeout_ms: int) -> Deadline:
    """The last reading of the agent's boot-time clock at which the order may arrive.

    The agent read its clock no later than its answer came, so the deadline is never later than meant.
    """
    passed_ms = max(0, round((now_s - lease.answered_s) * 1000))
    allowed_ms = max(timeout_ms, SHORTEST_DEADLINE_MS)
    return Deadline(lease.grant.boot_id, lease.grant.boottime_ms + passed_ms + allowed_ms)


def fill_in(value: Any, outputs: Mapping[str, Mapping[str, Any]]) -> Any:
    """Plain arguments with each `{from: step, output: name}` replaced by what that step gave."""
    if isinstance(value, dict):
        if set(value) == {"from", "output"}:
            return outputs[value["from"]][value["output"]]
        return {name: fill_in(item, outputs) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [fill_in(item, outputs) for item in value]
    return value
