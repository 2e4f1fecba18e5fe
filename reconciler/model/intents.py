"""What persons asked of a VM, as its record holds it: which intents are open, which a new one replaces, and which its
manifest forbids. Placement, diffing and planning read them here; commands ask before they write one.

An intent is open while the VM's last run is the one in which it was made: starting, restarting and moving claim the
next run, and that ends it in the same write, whatever crashes afterwards.
"""

from dataclasses import dataclass, replace

from nodeagent.wire.facts import GuestFacts
from nodeagent.wire.records import Intent, IntentAction, VmRecord
from reconciler.model.desired import Desired, Mobility, RunPolicy, VirtualMachine

POWER: frozenset[IntentAction] = frozenset({"start", "stop", "reboot"})
PAUSING: frozenset[IntentAction] = frozenset({"pause", "resume"})
MOVING: frozenset[IntentAction] = frozenset({"migrate"})
TOPICS = (POWER, PAUSING, MOVING)
"""Intents of one topic replace each other: the newest counts."""

FORBIDDING = {"start": RunPolicy.STOPPED, "reboot": RunPolicy.STOPPED, "stop": RunPolicy.ALWAYS}
"""The run policy that forbids an intent."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A declared field that an intent contradicts."""

    object: str
    field: str
    summary: str


def run_number(record: VmRecord | None) -> int:
    """The number of the VM's last run, 0 before the first."""
    return record.run.number if record is not None and record.run is not None else 0


def open_intents(record: VmRecord | None) -> tuple[Intent, ...]:
    """Intents that still count, oldest first."""
    if record is None:
        return ()
    number = run_number(record)
    return tuple(one for one in record.intents if not one.done and one.run == number)


def open_intent(record: VmRecord | None, topic: frozenset[IntentAction]) -> Intent | None:
    """The newest intent of a topic that still counts."""
    found = [one for one in open_intents(record) if one.action in topic] if record and record.intents else []
    return found[-1] if found else None


def add_intent(record: VmRecord, intent: Intent) -> tuple[Intent, ...]:
    """The record's intents with a new one; those that it replaces, or that have ended, are left out. A pause that was
    achieved stays when the guest is only to move: it goes on to stand still, and that is known to be wanted."""
    topic = next(one for one in TOPICS if intent.action in one)
    paused = [one for one in record.intents if one.action == "pause" and one.done and topic is MOVING]
    return (*paused, *(one for one in open_intents(record) if one.action not in topic), intent)


def end_intents(record: VmRecord, topic: frozenset[IntentAction]) -> tuple[Intent, ...]:
    """The record's intents with those of a topic marked as done."""
    return tuple(replace(one, done=True) if one.action in topic else one for one in record.intents)


def forbidden_by_policy(vm: VirtualMachine, intent: Intent) -> Contradiction | None:
    """The run policy that an intent about power contradicts."""
    policy = FORBIDDING.get(intent.action)
    if policy is None or vm.run_policy is not policy:
        return None
    return Contradiction(
        vm.meta.id, "spec.runPolicy", f"runPolicy: {policy.value} forbids to {intent.action} it"
    )


def forbidden_move(desired: Desired, vm: VirtualMachine, intent: Intent) -> Contradiction | None:
    """The declared field that an intent to migrate contradicts."""
    if intent.action != "migrate":
        return None
    name, host = vm.meta.id, desired.hosts.get(intent.host or "")
    if vm.mobility is Mobility.PINNED:
        return Contradiction(
            name, "spec.placement.migration", "migration: Pinned forbids to move it while it runs"
        )
    if intent.host is None:
        return None
    if vm.hosts and intent.host not in vm.hosts:
        allowed = ", ".join(vm.hosts)
        return Contradiction(
            name, "spec.placement.hosts", f"it may run on {allowed} only, not on {intent.host}"
        )
    if host is None:
        return Contradiction(name, "", f"no manifest declares {intent.host}")
    if host.cluster != vm.cluster:
        return Contradiction(
            name, "spec.cluster", f"it belongs to {vm.cluster}, and {intent.host} to {host.cluster}"
        )
    if host.maintenance:
        return Contradiction(intent.host, "spec.maintenance", f"{intent.host} is to be in maintenance")
    return None


def contradiction(desired: Desired, vm: VirtualMachine, intent: Intent) -> Contradiction | None:
    """The declared field that an intent contradicts; what is declared goes before what is asked."""
    return forbidden_by_policy(vm, intent) or forbidden_move(desired, vm, intent)


def power_intent(vm: VirtualMachine, record: VmRecord | None) -> Intent | None:
    """The intent to start, stop or restart that counts now."""
    intent = open_intent(record, POWER)
    return None if intent is None or forbidden_by_policy(vm, intent) else intent


def move_intent(
    desired: Desired, vm: VirtualMachine, record: VmRecord | None, host: str | None
) -> Intent | None:
    """The intent to move that counts now, for a VM that runs on `host`; None if it is there already."""
    intent = open_intent(record, MOVING)
    if intent is None or intent.host == host or forbidden_move(desired, vm, intent):
        return None
    return intent


def pause_intent(record: VmRecord | None) -> Intent | None:
    """The intent to pause or resume that counts now."""
    return open_intent(record, PAUSING)


def was_paused_through_ostler(record: VmRecord | None) -> bool:
    """Whether the last that was asked of Ostler about standing still was to pause. Its own run does not matter: a paused
    guest stays paused when it moves, which claims another."""
    asked = (
        [one.action for one in record.intents if one.action in PAUSING] if record and record.intents else []
    )
    return bool(asked) and asked[-1] == "pause"


def is_halted_by_move(guest: GuestFacts) -> bool:
    """Whether a guest stands still only until it has moved (docs/decisions/0006): libvirt lets it go on by itself."""
    return guest.state == "paused" and guest.pause_reason == "migration"


def is_as_asked(intent: Intent, guest: GuestFacts) -> bool:
    """Whether a running guest is in the state that an intent to pause or resume asks for."""
    if intent.action == "pause":
        return guest.state == "paused" and not is_halted_by_move(guest)
    return guest.state == "running"
