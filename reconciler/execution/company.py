"""Plans that are carried out at the same time: what each of them still has to do is not for another one to plan.

Pure over runs: asked before a plan is made beside others.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reconciler.execution.run import PlanRun
from reconciler.model.desired import Desired
from reconciler.model.placement import Claim
from reconciler.model.plan import Step
from reconciler.pipeline import Pass
from reconciler.placement.claims import find_claims

VM, DISK = "vm/", "disk/"
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
"""Kinds of steps that take nothing away that a plan under way may stand on."""


@dataclass(frozen=True, slots=True)
class Going:
    """A plan that is being carried out, and the pass that made it. intents: ids of those that it is about."""

    run: PlanRun
    done: Pass
    intents: frozenset[str] = frozenset()


def moves_ground(going: Iterable[Going]) -> bool:
    """Whether a plan still changes what VMs and disks stand on: hosts, networks, storage. Closing a host does not, as
    no VM is placed there any more."""
    return any(
        not step.object.startswith((VM, DISK)) and not closes_host(step)
        for one in going
        for step in one.run.open_steps()
    )


def closes_host(step: Step) -> bool:
    """Whether a step is the last one of a host that goes into maintenance."""
    return step.kind == "set-maintenance" and bool(step.args.get("maintenance"))


def held_for_taking(steps: Iterable[Step]) -> dict[str, str]:
    """Hosts, networks and storage of which a new plan would take something away, with why that waits."""
    return {
        step.object: f"{step.kind} could take something away that a plan under way stands on"
        for step in steps
        if not step.object.startswith((VM, DISK)) and step.kind not in GIVES
    }


def held_objects(going: Sequence[Going], now: Desired) -> dict[str, str]:
    """Objects that plans still have steps of, also such as failed, with why nothing else is planned for them until those
    plans end; the disks of such VMs, and the VMs of such disks, as declared then and now; and hosts where such VMs
    are to come."""
    held = {
        step.object: f"a plan that is being carried out has {step.kind} for it on {step.host}"
        for one in going
        for step in reversed(one.run.open_steps())
    }
    for desired in (now, *(one.done.desired for one in going)):
        for name, user in _neighbours(desired, held):
            held.setdefault(name, f"a plan that is being carried out is about {user}, which belongs to it")
    for name, claim in claims_of(going).items():
        held.setdefault(str(claim.assignment.host), f"a plan that is being carried out needs it for {name}")
    return dict(sorted(held.items()))


def _neighbours(desired: Desired, held: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Disks of held VMs, and VMs of held disks, each with what it belongs to."""
    held = frozenset(held)
    for vm in desired.vms.values():
        for one in vm.disks:
            if vm.meta.id in held:
                yield one.disk, vm.meta.id
            elif one.disk in held:
                yield vm.meta.id, one.disk


def held_from_protection(going: Iterable[Going]) -> dict[str, str]:
    """Objects of steps that run, and of protective ones that wait: not even protective work is planned for them."""
    held: dict[str, str] = {}
    for one in going:
        waiting = [step for step in one.run.waiting_steps() if step.protective]
        for step in (*waiting, *one.run.running_steps()):
            held[step.object] = f"a plan that is being carried out has {step.kind} for it on {step.host}"
    return dict(sorted(held.items()))


def claims_of(going: Iterable[Going]) -> dict[str, Claim]:
    """The room that plans still need, by VM: of those that they have still to start, to move or to change."""
    claims: dict[str, Claim] = {}
    for one in going:
        steps = [*one.run.running_steps(), *one.run.waiting_steps()]
        done = one.done
        claims |= find_claims(
            done.desired, done.observed, done.identities, done.placement,
            {step.object for step in steps if step.object in done.desired.vms},
            {step.object for step in steps if step.kind == "start-vm"},
        )  # fmt: skip
    return claims
