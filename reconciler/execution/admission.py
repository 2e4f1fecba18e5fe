"""The first gate: whether a plan may still be applied, judged against a fresh pass. Pure; every objection is told.

Commands and the loop call `refuse_plan` directly before an apply; the second and third gate are the agents'.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nodeagent.wire.arguments import ARGUMENTS
from nodeagent.wire.codec import to_plain
from nodeagent.wire.orders import Expectation
from nodeagent.wire.version import MAJOR
from reconciler.execution.rechecking import vm_of
from reconciler.model.change import Disruption
from reconciler.model.observed import Observed, Presence
from reconciler.model.plan import Basis, Plan, Step

NOT_DECLARED = "-"

ObjectionReason = Literal[
    "format",
    "planner",
    "data-center",
    "problems",
    "malformed",
    "digest",
    "already-applied",
    "stale",
    "locked",
    "paused",
    "consent",
    "evidence",
]


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a plan is not applied: what changed or is missing, and what to do."""

    reason: ObjectionReason
    summary: str
    action: str = "make a new plan and review it"

    def __str__(self) -> str:
        return f"{self.summary}; {self.action}" if self.action else self.summary


@dataclass(frozen=True, slots=True)
class Fresh:
    """What a plan is judged against. basis: computed anew for the plan's own steps. locked, paused: reason by
    object id. applied: ids of earlier applies of the very same plan."""

    planner: str
    data_center_uuid: str
    basis: Basis
    observed: Observed
    locked: Mapping[str, str] = field(default_factory=dict)
    paused: Mapping[str, str] = field(default_factory=dict)
    applied: Sequence[str] = ()


def refuse_plan(plan: Plan, fresh: Fresh, *, digest: str = "", expected: str = "") -> tuple[Objection, ...]:
    """Every reason not to apply a plan; empty if it may be. digest: the plan's; expected: the one approved, if any.

    A plan that cannot be read as it is meant, or was applied already, gets only that objection.
    """
    unreadable = tuple(_identity(plan, fresh, digest, expected))
    if unreadable:
        return unreadable
    basis = tuple(_basis(plan, fresh))
    done = tuple(one for one in basis if one.reason == "already-applied")
    if done:
        return done  # all else follows from that
    return (
        *_whole(plan),
        *basis,
        *_locks(plan, fresh),
        *_consent(plan, fresh.observed),
        *_expectations(plan, fresh.observed),
        *_evidence(plan, fresh.observed),
    )


def _identity(plan: Plan, fresh: Fresh, digest: str, expected: str) -> Iterator[Objection]:
    if plan.format.major != MAJOR:
        yield Objection("format", f"the plan has format {plan.format.major}, and this ostler applies {MAJOR}")
    elif plan.planner != fresh.planner:
        yield Objection(
            "planner", f"the plan was made by planner {plan.planner}, and this is {fresh.planner}"
        )
    if plan.data_center_uuid != fresh.data_center_uuid:
        yield Objection(
            "data-center",
            f"the plan is for data center {plan.data_center_uuid}, and these manifests are {fresh.data_center_uuid}",
            "name the manifests that it was made from",
        )
    if expected and digest != expected:
        yield Objection("digest", f"digest {expected} was approved, and the plan's is {digest}", "review it")


def _whole(plan: Plan) -> Iterator[Objection]:
    """Problems that the planner found, and steps that cannot be meant."""
    for problem in plan.problems:
        yield Objection("problems", problem, "mend that, then plan anew")
    seen: set[str] = set()
    for step in plan.steps:
        if step.id in seen:
            yield Objection("malformed", f"{step.id} stands there twice")
        if step.kind not in ARGUMENTS:
            yield Objection("malformed", f"{step.id} is of the unknown kind {step.kind}")
        for edge in step.after:
            if edge.step not in seen:
                yield Objection(
                    "malformed", f"{step.id} waits for {edge.step}, which does not come before it"
                )
        seen.add(step.id)


def _basis(plan: Plan, fresh: Fresh) -> Iterator[Objection]:
    """What it rests on: declarations of what it touches, and the last order of each object."""
    before, now = plan.basis, fresh.basis
    for name in sorted({*before.desired, *now.desired}):
        difference = _declaration(before.desired.get(name), now.desired.get(name))
        if difference:
            yield Objection("stale", f"{name} {difference} since the plan was made")
    ordered = [
        name
        for name in sorted({*before.last_orders, *now.last_orders})
        if before.last_orders.get(name, "") != now.last_orders.get(name, "")
    ]
    if ordered and fresh.applied:
        yield Objection(
            "already-applied",
            f"already applied, as {fresh.applied[-1]}",
            "`ostler plan` shows what is left to do",
        )
        return
    for name in ordered:
        key = now.last_orders.get(name, "")
        yield Objection(
            "stale", f"{name} got another order since the plan was made{f' ({key})' if key else ''}"
        )


def _declaration(before: str | None, now: str | None) -> str:
    """What became of a manifest between two digests; empty if it is the same."""
    if before == now:
        return ""
    if now is None:
        return "is not referenced any more"
    if now == NOT_DECLARED:
        return "is not declared any more"
    if before is None:
        return "is referenced newly"
    return "was declared" if before == NOT_DECLARED else "changed in the manifests"


def _locks(plan: Plan, fresh: Fresh) -> Iterator[Objection]:
    for name in dict.fromkeys(step.object for step in plan.steps):
        if name in fresh.locked:
            yield Objection("locked", f"{name}: {fresh.locked[name]}", "wait for its end, then plan anew")
    for scope in dict.fromkeys((plan.data_center, *(step.object for step in plan.steps))):
        if scope in fresh.paused:
            yield Objection(
                "paused", f"{scope} is paused: {fresh.paused[scope]}", "end it with `ostler resume`"
            )


def _consent(plan: Plan, observed: Observed) -> Iterator[Objection]:
    """A step that destroys something needs the consent that the object's own record holds now."""
    for step in plan.steps:
        if step.disruption is Disruption.DATA_LOSS and not _has_consent(step, observed):
            yield Objection(
                "consent",
                f"{step.id} destroys {step.object}, and its record holds no consent for that",
                "apply its manifest with the annotation ostler.dev/allow-destroy, then leave it out",
            )


def _has_consent(step: Step, observed: Observed) -> bool:
    if step.kind in ("remove-vm", "purge-vm"):
        vm = observed.vms.get(str(step.args.get("vm")))
        if vm is None or vm.record is None:
            return False
        return vm.record.removed if step.kind == "purge-vm" else vm.record.allow_destroy == vm.uuid
    if step.kind in ("remove-disk", "purge-disk"):
        image = str(step.args.get("image") or step.args.get("record", {}).get("image"))
        disk = observed.disks.get(image)
        return bool(disk and disk.record and (disk.record.removed or disk.record.allow_destroy == image))
    return False


def _expectations(plan: Plan, observed: Observed) -> Iterator[Objection]:
    """State fields named by steps that wait for nothing; the others are the agents' to check, when their time comes."""
    for step in plan.steps:
        if step.after:
            continue
        for one in step.expects:
            found, known = look_up(one, step.host, observed)
            if known and (type(found) is not type(one.value) or found != one.value):
                yield Objection(
                    "stale",
                    f"{step.id} expects {one.subject} {one.field} to be {one.value!r} on {step.host}; it is {found!r}",
                )
            elif not known:
                yield Objection(
                    "stale", f"{step.id} expects something of {one.subject}, and {step.host} does not answer"
                )


def look_up(expectation: Expectation, host: str, observed: Observed) -> tuple[Any, bool]:
    """The value of an expected field as it is observed, and whether its subject can be known at all."""
    kind, _, name = expectation.subject.partition("/")
    found: Any
    if kind == "record":
        vm = observed.vms.get(name)
        found = vm.record if vm else None
    elif kind == "disk":
        found = observed.disks.get(name)
    else:
        seen = observed.hosts.get(host)
        if seen is None or seen.state is None or not seen.answering:
            return None, False
        state = seen.state
        subjects: Mapping[str, Any] = {
            "guest": {one.uuid: one for one in state.guests},
            "network": {one.bridge: one for one in state.networks},
            "storage": {one.uuid: one for one in state.storage},
            "host": {"": state},
        }
        found = subjects.get(kind, {}).get(name)
    if expectation.field == "present":
        return found is not None, True
    return _field(to_plain(found), expectation.field), True


def _field(value: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _evidence(plan: Plan, observed: Observed) -> Iterator[Objection]:
    """Every start needs proof that the VM runs nowhere, now as when it was planned."""
    stopped = {step.object for step in plan.steps if step.kind == "stop-vm"}
    for step in plan.steps:
        if step.kind != "start-vm":
            continue
        if step.evidence is None or step.evidence.basis == "here":
            yield Objection("evidence", f"{step.id} carries no proof that the VM runs nowhere else")
        elif step.object not in stopped:
            doubt = _doubt(vm_of(step), observed)
            if doubt:
                yield Objection("evidence", f"{step.id}: {doubt}")


def _doubt(vm: str | None, observed: Observed) -> str:
    """Why a VM may be running somewhere; empty if it is proven not to."""
    seen = observed.vms.get(vm or "")
    if seen is None:
        unproven = observed.newcomer_evidence is None
        return "it cannot be known that the VM never ran: not everything could be read" if unproven else ""
    if seen.presence is Presence.RUNNING:
        return f"the VM runs on {seen.host}"
    if seen.presence is Presence.UNKNOWN:
        return f"the VM may be running on {', '.join(seen.doubts)}, which cannot be asked"
    return ""
