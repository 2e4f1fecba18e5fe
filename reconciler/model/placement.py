"""Where every VM that is to run should run, and why not elsewhere. Says where, never when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.model.desired import VirtualMachine

ASKED = "intent"
"""The rule by which a VM moves that a person asked to move."""


class Outcome(StrEnum):
    """What placement decided for a VM."""

    STAYS = "stays"
    STARTS = "starts"
    MOVES = "moves"
    UNPLACED = "unplaced"


def turn_of(vm: VirtualMachine, *, runs: bool) -> tuple[bool, int, int, str]:
    """Sort key of the order in which VMs get room: those that run, then higher priority, then larger, then by id."""
    return (not runs, -vm.priority, -vm.memory_bytes, vm.meta.id)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One VM's host. current: where it runs now. because: name of the rule that made it move, or chose it.

    dropped: for an unplaced VM, how many hosts each filter dropped, filters in policy order; for one that stays,
    the filter by which it may not grow there to its declared size.
    """

    vm: str
    outcome: Outcome
    host: str | None = None
    current: str | None = None
    because: str = ""
    dropped: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """The room that a plan which is being carried out needs for a VM. uuid: the VM's. starts: whether the plan has
    still to start it. memory_bytes: what it takes where it is not yet; growth_bytes: what it takes more where it is.
    """

    assignment: Assignment
    uuid: str
    starts: bool
    memory_bytes: int
    growth_bytes: int = 0


@dataclass(frozen=True, slots=True)
class WeightScore:
    """One weight unit's opinion of one host: raw score (lower is better), rank (higher is better), factor."""

    unit: str
    score: int
    rank: int
    factor: int


@dataclass(frozen=True, slots=True)
class HostVerdict:
    """One host for one VM: the filter that dropped it with its reason, or the weights and their total."""

    host: str
    filter: str | None = None
    reason: str = ""
    weights: tuple[WeightScore, ...] = ()
    total: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a VM is, or would be, where it is: every host of its cluster, chosen one first, dropped ones last."""

    vm: str
    assignment: Assignment | None
    verdicts: tuple[HostVerdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """One assignment a VM that is to run, by object id in sorted order. promised: bytes by host that plans which are
    being carried out have still to take."""

    assignments: Mapping[str, Assignment] = field(default_factory=dict)
    promised: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Homeless:
    """A VM that no host of its cluster could take. dropped: how many hosts each filter dropped, in policy order."""

    vm: str
    dropped: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A cluster that could not restart these VMs if it lost this one host."""

    cluster: str
    host: str
    vms: tuple[Homeless, ...]
