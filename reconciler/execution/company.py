"""Plans that are carried out at the same time: what each of them still has to do is not for another one to plan.

Pure over runs: asked before a plan is made beside others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.execution.run import PlanRun
from reconciler.model.desired import Desired
from reconciler.model.placement import Claim
from reconciler.model.plan import Step
from reconciler.pipeline import Pass
from reconciler.placement.claims import find_claims

VM, DISK, HOST = "vm/", "disk/", "host/"
GIVES = frozenset(
    {
        "create-network",
        "create-storage-domain",
        "connect-storage-domain",
        "write-pool-record",
        "renew-certificate",
        "set-maintenance",
    }
)
"""Kinds of steps that take nothing away that a plan under way may stand on. A host that is closed takes no new guests;
one where guests of such a plan are to come is held."""


@dataclass(frozen=True, slots=True)
class Going:
    """A plan that is being carried out, and the pass that made it. intents: ids of those that it is about."""

    run: PlanRun
    done: Pass
    intents: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Holds:
    """What plans under way keep from a new one. objects: for which nothing is planned, with why; from_protection: not
    even protective work; claims: room that they need, by VM; closed: hosts that take no new guests, because something
    could not be made there; needed: hosts held only because VMs are to come; ground: whether what VMs stand on is being changed."""

    objects: Mapping[str, str] = field(default_factory=dict)
    from_protection: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)
    closed: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    ground: bool = False

    def or_before(self, before: "Holds") -> "Holds":
        """With what was held before facts were gathered: what ended meanwhile, they may not show."""
        return Holds(
            _sorted({**before.objects, **self.objects}),
            _sorted({**before.from_protection, **self.from_protection}),
            dict(sorted({**before.claims, **self.claims}.items())),
            self.closed | before.closed,
            self.needed | before.needed,
            self.ground or before.ground,
        )


def holds_of(going: Sequence[Going], now: Desired) -> Holds:
    """What these plans hold, and what belongs to that as declared now and when they were made."""
    claims = _claims(going)
    return Holds(
        _held_objects(going, now, claims), _held_from_protection(going), claims, _closed_hosts(going),
        frozenset(str(one.assignment.host) for one in claims.values()), _moves_ground(going),
    )  # fmt: skip


def _moves_ground(going: Iterable[Going]) -> bool:
    """Whether hosts, networks or storage are being changed, or a network or storage could not be made that VMs may need.
    Closing a host changes nothing, as no VM is placed there any more."""
    for one in going:
        lacking = [
            step for step in one.run.open_steps() if _is_ground(step) and not step.object.startswith(HOST)
        ]
        if lacking or any(_is_ground(step) for step in _unfinished(one)):
            return True
    return False


def _closed_hosts(going: Iterable[Going]) -> frozenset[str]:
    return frozenset(step.host for one in going for step in one.run.open_steps() if _is_ground(step))


def _unfinished(going: Going) -> list[Step]:
    """Steps that run or wait."""
    return [*going.run.running_steps(), *going.run.waiting_steps()]


def _is_ground(step: Step) -> bool:
    closes = step.kind == "set-maintenance" and bool(step.args.get("maintenance"))
    return not step.object.startswith((VM, DISK)) and not closes


def held_for_taking(steps: Iterable[Step]) -> dict[str, str]:
    """Hosts, networks and storage of which a new plan would take something away, with why that waits."""
    return {
        step.object: f"{step.kind} could take something away that a plan under way stands on"
        for step in steps
        if not step.object.startswith((VM, DISK)) and step.kind not in GIVES
    }


def _held_objects(going: Sequence[Going], now: Desired, claims: Mapping[str, Claim]) -> dict[str, str]:
    """Objects that plans still have steps of, also such as failed, until those plans end; the disks of such VMs, the VMs
    of such disks, and so on; and hosts where VMs are to come."""
    held = {step.object: _has(step) for one in going for step in reversed(one.run.open_steps())}
    left = list(held)
    neighbours = _neighbours((now, *(one.done.desired for one in going))) if left else {}
    while left:
        name = left.pop()
        for other in neighbours.get(name, ()):
            if other not in held:
                held[other] = f"a plan that is being carried out is about {name}, which belongs to it"
                left.append(other)
    for name, claim in claims.items():
        held.setdefault(str(claim.assignment.host), f"a plan that is being carried out needs it for {name}")
    return _sorted(held)


def _has(step: Step) -> str:
    return f"a plan that is being carried out has {step.kind} for it on {step.host}"


def _neighbours(declared: Iterable[Desired]) -> dict[str, list[str]]:
    """The disks of every VM and the VMs of every disk, by id, as any of these manifests declare."""
    found: dict[str, set[str]] = {}
    for desired in declared:
        for name, vm in desired.vms.items():
            for one in vm.disks:
                found.setdefault(name, set()).add(one.disk)
                found.setdefault(one.disk, set()).add(name)
    return {name: sorted(others) for name, others in found.items()}


def _held_from_protection(going: Iterable[Going]) -> dict[str, str]:
    """Objects of steps that run, and of protective ones that wait."""
    held: dict[str, str] = {}
    for one in going:
        waiting = [step for step in one.run.waiting_steps() if step.protective]
        held |= {step.object: _has(step) for step in (*waiting, *one.run.running_steps())}
    return _sorted(held)


def _claims(going: Iterable[Going]) -> dict[str, Claim]:
    """The room that plans still need, by VM: of those that they have still to start, to move or to change."""
    claims: dict[str, Claim] = {}
    for one in going:
        steps, done = _unfinished(one), one.done
        claims |= find_claims(
            done.desired, done.observed, done.identities, done.placement,
            {step.object for step in steps if step.object in done.desired.vms},
            {step.object for step in steps if step.kind == "start-vm"},
        )  # fmt: skip
    return claims


def _sorted(texts: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(texts.items()))
