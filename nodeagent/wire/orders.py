"""Orders, their results, leases and revocations: everything a controller may ask of an agent."""

from dataclasses import dataclass, field
from typing import Any, Literal

from nodeagent.wire.types import Count, Milliseconds, Name, ObjectId, Text, Uuid
from nodeagent.wire.version import CURRENT, Format

OrderState = Literal["accepted", "running", "succeeded", "failed", "unknown", "revoked"]
"""unknown: the agent was stopped in the middle and cannot tell by looking; the planner must settle it."""

RefusalReason = Literal[
    "stale-expects",
    "stale-epoch",
    "held",
    "no-lease",
    "late",
    "other-ledger",
    "resync-needed",
    "key-reused",
    "revoked",
    "evidence",
    "unsupported",
    "invalid",
    "not-durable",
    "other-data-center",
    "busy",
]


@dataclass(frozen=True, slots=True)
class Deadline:
    """A reading of the agent's boot-time clock in one boot; an order that arrives later is refused."""

    boot_id: Uuid
    boottime_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class Expectation:
    """A state fact that must still hold directly before the step acts.

    subject: what is looked at (`guest/<uuid>`, `record/<uuid>`, `disk/<image>`, `storage/<uuid>`,
    `network/<bridge>`, `host`); field: a dotted path in its facts; value: what it must be. Field `present`
    is whether the subject exists at all.
    """

    subject: Text
    field: Text
    value: str | int | bool | None


@dataclass(frozen=True, slots=True)
class HostEvidence:
    """Why one host does not run the VM: it answered without it, or it is proven off.

    answered: boot id and generation of the state document that says so. off: the proof's kind and reference.
    """

    host: Uuid
    kind: Literal["answered", "boot-changed", "fenced", "confirmed"]
    boot_id: Uuid | None = None
    generation: Count | None = None
    reference: Text = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why starting this VM, or writing this volume, makes no second writer.

    basis: never-ran (no record on readable storage), closed (the record's last run is closed), hosts
    (each host named was accounted for), here (the same host that runs it does the work).
    """

    basis: Literal["never-ran", "closed", "hosts", "here"]
    run: Count = 0
    hosts: tuple[HostEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """One step for one agent. `arguments` has the shape of ARGUMENTS[kind]; `digest` covers kind, object,
    arguments, secret digests and expects, and nothing of holder, epoch or deadline.

    secrets: values by reference, for this delivery only; never stored. secret_digests: their HMACs.
    """

    key: Text
    kind: Name
    object: ObjectId
    data_center: Uuid
    holder: Text
    epoch: Count
    ledger_id: Uuid
    deadline: Deadline
    digest: Text
    arguments: dict[str, Any]
    expects: tuple[Expectation, ...] = ()
    evidence: Evidence | None = None
    timeout_ms: Milliseconds = 60_000
    secrets: dict[str, str] = field(default_factory=dict)
    secret_digests: dict[str, str] = field(default_factory=dict)
    format: Format = CURRENT


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running order is; bytes of total where the work has a size."""

    message: Text = ""
    done_bytes: Count = 0
    total_bytes: Count = 0


@dataclass(frozen=True, slots=True)
class OrderResult:
    """What became of an order. generation: the first state document that shows its effect.

    retriable failures left the world as it was. action: who must do what next.
    """

    key: Text
    state: OrderState
    summary: Text = ""
    action: Text = ""
    generation: Count = 0
    outputs: dict[str, Any] = field(default_factory=dict)
    progress: Progress | None = None
    format: Format = CURRENT


@dataclass(frozen=True, slots=True)
class Refusal:
    """An order, lease or revocation that was not taken; nothing was done."""

    reason: RefusalReason
    summary: Text
    action: Text = ""


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """Take or renew the right to order this agent for duration_ms; takeover ends another holder's lease."""

    data_center: Uuid
    holder: Text
    epoch: Count
    duration_ms: Milliseconds
    takeover: bool = False


@dataclass(frozen=True, slots=True)
class LeaseGrant:
    """The lease as granted, with the agent's clock reading, boot and ledger."""

    epoch: Count
    holder: Text
    remaining_ms: Milliseconds
    boottime_ms: Milliseconds
    boot_id: Uuid
    ledger_id: Uuid


@dataclass(frozen=True, slots=True)
class Resync:
    """Tells an agent with a new ledger that everything seen on it was settled at this epoch."""

    data_center: Uuid
    holder: Text
    epoch: Count
    ledger_id: Uuid


@dataclass(frozen=True, slots=True)
class Revocation:
    """Asks that a key never takes effect. Recorded even if the key never arrived; a running one is named in the result."""

    key: Text
    holder: Text
    epoch: Count
    cancel: bool = False
