"""The plan: steps, their order and reasons, complete at plan time. `planfile` writes and reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nodeagent.wire.orders import Evidence, Expectation
from nodeagent.wire.version import CURRENT, Format
from reconciler.model.change import Alert, Blocked, Deferred, Disruption, Drift, Reason

EdgeKind = Literal["success", "settled"]
MIGRATIONS_LIMIT = "migrations-per-host"


@dataclass(frozen=True, slots=True)
class Edge:
    """This step runs after `step` has succeeded, or merely settled (ended in any known way); `rule` says why."""

    step: str
    rule: str
    kind: EdgeKind = "success"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a step is expected to cost; downtime is the guest's, in ms."""

    seconds: int = 0
    bytes: int = 0
    downtime_ms: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that one agent does. args: the arguments of wire order `kind`, final and plain.

    host: object id of the host whose agent does it, and afterwards reads back what the arguments wish for.
    summary: the line that people read, without id. evidence: why no second writer comes of it.
    leases: further hosts whose leases the applier must hold (the evidence set).
    """

    id: str
    kind: str
    object: str
    host: str
    summary: str
    args: Mapping[str, Any]
    because: tuple[Reason, ...]
    after: tuple[Edge, ...] = ()
    expects: tuple[Expectation, ...] = ()
    disruption: Disruption = Disruption.NONE
    evidence: Evidence | None = None
    leases: tuple[str, ...] = ()
    estimate: Estimate = Estimate()
    timeout_ms: int = 60_000
    protective: bool = False
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Basis:
    """What the plan rests on; admission compares it with a fresh observation and refuses a stale plan.

    desired: digest of the normalised manifest of each touched object and of what it references.
    last_orders: key of the last order of each touched object.
    """

    desired: Mapping[str, str] = field(default_factory=dict)
    last_orders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """An ordered, reviewable plan. Steps in the order in which they are shown: a legal order, ties by id.

    limits: by name, numbers by host id: `migrations-per-host`. digest and plan id are computed by `planfile.canonical`, never stored in the value.
    """

    planner: str
    data_center: str
    data_center_uuid: str
    basis: Basis = Basis()
    steps: tuple[Step, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    deferred: tuple[Deferred, ...] = ()
    drift: tuple[Drift, ...] = ()
    alerts: tuple[Alert, ...] = ()
    problems: tuple[str, ...] = ()
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    format: Format = CURRENT
