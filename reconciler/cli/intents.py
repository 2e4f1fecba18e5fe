"""A person's words about one VM as an intent for its record, or why there is nothing to ask for. `vm` calls it."""

import uuid
from dataclasses import dataclass

from nodeagent.wire.records import Intent, IntentAction, VmRecord
from reconciler.cli.failures import CommandError
from reconciler.cli.naming import find_id
from reconciler.cli.statuses import Status
from reconciler.desired.places import Places
from reconciler.model.change import Power
from reconciler.model.desired import Desired, VirtualMachine
from reconciler.model.intents import POWER, contradiction, is_halted_by_move, open_intent, run_number
from reconciler.model.observed import Presence, VmObservation
from reconciler.pipeline import Pass

ENDINGS: dict[IntentAction, str] = {
    "start": "runs",
    "stop": "is stopped",
    "reboot": "was restarted",
    "pause": "is paused",
    "resume": "goes on",
    "migrate": "was moved",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One VM as it is declared and observed, and what a person asks of it."""

    vm: VirtualMachine
    action: IntentAction
    host: str | None
    seen: VmObservation | None
    power: Power

    @property
    def runs(self) -> bool:
        """Whether it runs, or stands still in memory."""
        return self.seen is not None and self.seen.presence is Presence.RUNNING

    @property
    def state(self) -> str:
        """What its guest does, empty where there is none."""
        return self.seen.guest.state if self.runs and self.seen and self.seen.guest else ""

    @property
    def stands_still(self) -> bool:
        """Whether its guest is paused, and not only while it moves."""
        guest = self.seen.guest if self.seen else None
        return self.state == "paused" and guest is not None and not is_halted_by_move(guest)

    @property
    def record(self) -> VmRecord | None:
        """What storage holds of it."""
        return self.seen.record if self.seen and self.seen.record_state == "read" else None


def find_vm(desired: Desired, name: str) -> VirtualMachine:
    """A declared VM by id, name or spec.name. Ends the command where there is none."""
    found = find_id(name, {one: vm.meta.name for one, vm in desired.vms.items()}, "vm")
    if found is None:
        near = ", ".join(list(desired.vms)[:10]) + (" …" if len(desired.vms) > 10 else "")
        raise CommandError(f"no VM {name} is declared; there is {near or 'none'}")
    return desired.vms[found]


def find_destination(desired: Desired, name: str | None) -> str | None:
    """A declared host's id, by id, name or spec.name. Ends the command for one that nobody declares."""
    if name is None:
        return None
    wanted = find_id(name, {one: host.meta.name for one, host in desired.hosts.items()}, "host")
    if wanted is None:
        raise CommandError(f"no host {name} is declared; there is {', '.join(desired.hosts) or 'none'}")
    return wanted


def refuse_contradiction(desired: Desired, places: Places, vm: VirtualMachine, intent: Intent) -> None:
    """Ends the command if the manifests forbid the intent, naming file and line."""
    found = contradiction(desired, vm, intent)
    if found is None:
        return
    where = places.find(found.object, found.field)
    place = f"{where}: " if where else ""
    raise CommandError(
        f"{place}refused: {vm.meta.id}: {found.summary}; change that in the manifest first", Status.REFUSED
    )


def look_at(done: Pass, vm: VirtualMachine, action: IntentAction, host: str | None) -> Asked:
    """The VM as a pass found it."""
    seen = done.observed.vms.get(done.identities.vms[vm.meta.id])
    return Asked(vm, action, host, seen, done.powers[vm.meta.id])


def make_intent(asked: Asked) -> Intent:
    """The intent, new and for the VM's present run."""
    return Intent(str(uuid.uuid4()), asked.action, asked.host, run=run_number(asked.record))


def needless(asked: Asked) -> str:
    """Why nothing need be done: the VM is as it is asked to be, and nothing is about to change that."""
    where = asked.seen.host if asked.seen else None
    intent = open_intent(asked.record, POWER)
    if asked.action == "start" and asked.runs and (intent is None or intent.action == "start"):
        return f"it runs already, on {where}" + (
            " (paused: `ostler vm resume`)" if asked.stands_still else ""
        )
    if asked.action == "stop" and not asked.runs and asked.power is not Power.RUN:
        return "it does not run"
    if asked.action == "pause" and asked.stands_still:
        return "it is paused already"
    if asked.action == "resume" and asked.state == "running":
        return "it is not paused"
    if asked.action == "migrate" and asked.runs and asked.host == where:
        return f"it runs on {where} already"
    return ""


def refuse_impossible(asked: Asked) -> None:
    """Ends the command where the VM is not such that this can be asked of it."""
    name = asked.vm.meta.id
    if asked.seen is None or asked.seen.record_state == "absent":
        raise CommandError(
            f"refused: {name} has not been made yet; `ostler apply` makes it, then ask again", Status.REFUSED
        )
    if asked.record is None:
        raise CommandError(
            f"refused: {name}: its record on storage cannot be read now; `ostler plan` says why",
            Status.REFUSED,
        )
    if asked.seen.presence is Presence.UNKNOWN:
        doubts = ", ".join(asked.seen.doubts) or "a host that does not answer"
        raise CommandError(
            f"refused: it is not known whether {name} runs: {doubts} cannot be asked", Status.REFUSED
        )
    if asked.action not in ("start", "stop") and not asked.runs:
        raise CommandError(f"refused: {name} does not run; `ostler vm start` starts it", Status.REFUSED)
