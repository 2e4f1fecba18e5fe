"""Running guests that stand still: those that a person wants paused or resumed, and those that somebody paused behind
Ostler's back, which are told and left alone. Called by `running`."""

from collections.abc import Iterator

from reconciler.diffing.context import Finding
from reconciler.model.change import Change, Deferred, Drift, Reason, Verb
from reconciler.model.desired import VirtualMachine
from reconciler.model.intents import is_as_asked, is_halted_by_move, pause_intent, was_paused_through_ostler
from reconciler.model.observed import VmObservation

CAUSES = {
    "user": "somebody suspended it there, such as with virsh suspend",
    "watchdog": "its watchdog device found that it hangs",
    "crashed": "its kernel panicked",
    "other": "libvirt does not say why",
}
"""Why a guest stands still that goes on only if a person wants it to. It goes on by itself, or has an alert, where its
storage is full, and while it moves, is saved, dumped or snapshotted."""


def find_unasked_pause(vm: VirtualMachine, seen: VmObservation) -> Iterator[Drift]:
    """A paused guest that was not paused through Ostler. Whoever did it may have a reason: it is not resumed."""
    guest = seen.guest
    if guest is None or guest.state != "paused" or guest.migration is not None:
        return
    cause = CAUSES.get(guest.pause_reason)
    if cause is not None and not was_paused_through_ostler(seen.record):
        yield Drift(
            vm.meta.id,
            f"paused on {seen.host}, which nobody asked of Ostler",
            f"{cause}; `ostler vm resume {vm.meta.id}` lets it go on",
        )


def diff_standstill(vm: VirtualMachine, seen: VmObservation) -> Iterator[Finding]:
    """Pausing or resuming a guest that is not yet as a person asked; both wait while it stands still to be moved."""
    intent, guest = pause_intent(seen.record), seen.guest
    if (
        intent is None
        or guest is None
        or guest.state not in ("running", "paused")
        or is_as_asked(intent, guest)
    ):
        return
    if is_halted_by_move(guest) and (intent.action == "pause" or guest.migration is not None):
        yield Deferred(vm.meta.id, "it is being moved, and stands still meanwhile", "that has ended")
        return
    verb = Verb.PAUSE if intent.action == "pause" else Verb.RESUME
    yield Change(vm.meta.id, verb, (Reason("intent", intent.id),), host=seen.host)
