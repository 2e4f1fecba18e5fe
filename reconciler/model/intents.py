"""What persons asked of a VM, as its record holds it: which wishes are open, which a new one replaces, and which its
manifest forbids. Placement, diffing and planning read them here; commands ask before they write one.

A wish is open while the VM's last run is the one in which it was made: starting, restarting and moving claim the
next run, and that ends it in the same write, whatever crashes afterwards.
"""

from dataclasses import dataclass, replace

from nodeagent.wire.records import Intent, IntentAction, VmRecord
from reconciler.model.desired import Desired, Mobility, RunPolicy, VirtualMachine

POWER: frozenset[IntentAction] = frozenset({"start", "stop", "reboot"})
PAUSING: frozenset[IntentAction] = frozenset({"pause", "resume"})
MOVING: frozenset[IntentAction] = frozenset({"migrate"})
TOPICS = (POWER, PAUSING, MOVING)
"""Wishes of one topic replace each other: the newest counts."""

NEEDS_POLICY = {"start": RunPolicy.STOPPED, "reboot": RunPolicy.STOPPED, "stop": RunPolicy.ALWAYS}
"""The run policy that forbids a wish."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A declared field that a wish contradicts."""

    object: str
    field: str
    summary: str


def run_number(record: VmRecord | None) -> int:
    """The number of the VM's last run, 0 before the first."""
    return record.run.number if record is not None and record.run is not None else 0


def open_intents(record: VmRecord | None) -> tuple[Intent, ...]:
    """Wishes that still count, oldest first."""
    if record is None:
        return ()
    number = run_number(record)
    return tuple(one for one in record.intents if not one.done and one.run == number)


def open_intent(record: VmRecord | None, topic: frozenset[IntentAction]) -> Intent | None:
    """The newest wish of a topic that still counts."""
    found = [one for one in open_intents(record) if one.action in topic] if record and record.intents else []
    return found[-1] if found else None


def add_intent(record: VmRecord, wish: Intent) -> tuple[Intent, ...]:
    """The record's wishes with a new one; those that it replaces, or that have ended, are left out."""
    topic = next(one for one in TOPICS if wish.action in one)
    return (*(one for one in open_intents(record) if one.action not in topic), wish)


def end_intents(record: VmRecord, topic: frozenset[IntentAction]) -> tuple[Intent, ...]:
    """The record's wishes with those of a topic marked as done."""
    return tuple(replace(one, done=True) if one.action in topic else one for one in record.intents)


def forbidden_by_policy(vm: VirtualMachine, wish: Intent) -> Contradiction | None:
    """The run policy that a wish about power contradicts."""
    policy = NEEDS_POLICY.get(wish.action)
    if policy is None or vm.run_policy is not policy:
        return None
    return Contradiction(
        vm.meta.id, "spec.runPolicy", f"runPolicy: {policy.value} forbids to {wish.action} it"
    )


def forbidden_move(desired: Desired, vm: VirtualMachine, wish: Intent) -> Contradiction | None:
    """The declared field that a wish to migrate contradicts."""
    if wish.action != "migrate":
        return None
    name, host = vm.meta.id, desired.hosts.get(wish.host or "")
    if vm.mobility is Mobility.PINNED:
        return Contradiction(
            name, "spec.placement.migration", "migration: Pinned forbids to move it while it runs"
        )
    if wish.host is None:
        return None
    if vm.hosts and wish.host not in vm.hosts:
        allowed = ", ".join(vm.hosts)
        return Contradiction(
            name, "spec.placement.hosts", f"it may run on {allowed} only, not on {wish.host}"
        )
    if host is None:
        return Contradiction(name, "", f"no manifest declares {wish.host}")
    if host.cluster != vm.cluster:
        return Contradiction(
            name, "spec.cluster", f"it belongs to {vm.cluster}, and {wish.host} to {host.cluster}"
        )
    if host.maintenance:
        return Contradiction(wish.host, "spec.maintenance", f"{wish.host} is to be in maintenance")
    return None


def contradiction(desired: Desired, vm: VirtualMachine, wish: Intent) -> Contradiction | None:
    """The declared field that a wish contradicts; what is declared goes before what is asked."""
    return forbidden_by_policy(vm, wish) or forbidden_move(desired, vm, wish)


def power_wish(vm: VirtualMachine, record: VmRecord | None) -> Intent | None:
    """The wish to start, stop or restart that counts now."""
    wish = open_intent(record, POWER)
    return None if wish is None or forbidden_by_policy(vm, wish) else wish


def move_wish(
    desired: Desired, vm: VirtualMachine, record: VmRecord | None, host: str | None
) -> Intent | None:
    """The wish to move that counts now, for a VM that runs on `host`; None if it is there already."""
    wish = open_intent(record, MOVING)
    if wish is None or wish.host == host or forbidden_move(desired, vm, wish):
        return None
    return wish


def pause_wish(record: VmRecord | None) -> Intent | None:
    """The wish to pause or resume that counts now."""
    return open_intent(record, PAUSING)


def is_as_asked(wish: Intent, state: str | None) -> bool:
    """Whether a running guest is in the state that a wish to pause or resume asks for."""
    return state == ("paused" if wish.action == "pause" else "running")
