"""Random faults over random small estates: the script of a seed, its run, and what must hold during it and after it.

A script is what a timeline is made of, so that one that breaks a promise can be pasted into tests/timelines.
"""

import asyncio
import random
from dataclasses import dataclass, replace
from typing import Any

import yaml

from reconciler.model.desired import RunPolicy
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.simulation.script import Event, ScriptError, parse_script
from reconciler.simulation.world import BrokenPromiseError
from tests.scenarios.manifests import CaseError
from tests.timelines.appliers import SimulatedApplier
from tests.timelines.cases import Timeline, make_timeline, readable, render_log
from tests.timelines.manifests import Manifests

LENGTH_S = 240
SETTLING_S = 35.0
"""Longer than a lease lasts."""
MOST_TURNS = 12
SMALL_BYTES = 9 * 2**30
"""Memory of a host: room for two of the largest VMs."""
FULL = "Memory"
"""The filter that keeps what has no room back, however often it is tried."""
EDITS = (
    "memory=256Mi", "memory=1Gi", "memory=4Gi", "runPolicy=Stopped", "runPolicy=Always",
    "placement", "placement", "disk", "disk", "address",
)  # fmt: skip
KINDS = (
    "start-vm",
    "record-exit",
    "migrate-vm",
    "create-disk",
    "write-vm-record",
    "stop-vm",
    "set-maintenance",
)


@dataclass(frozen=True, slots=True)
class Script:
    """One example. away: hosts that do not come back. objects: VMs and disks, as manifests."""

    seed: int
    hosts: tuple[str, ...]
    objects: tuple[dict[str, Any], ...]
    lines: tuple[str, ...]
    away: tuple[str, ...] = ()

    def __str__(self) -> str:
        objects = "".join(
            f"- {yaml.safe_dump(one, default_flow_style=True, width=1000)}" for one in self.objects
        )
        lines = "".join(f"- {line}\n" for line in self.lines)
        away = f"# away for ever: {', '.join(self.away)}\n" if self.away else ""
        return (
            f"seed {self.seed}\n--- start.yaml\nwith: [center, {', '.join(self.hosts)}]\nstart: empty\n"
            f"objects:\n{objects}--- script.yaml\n{away}{lines}"
        )


def make_script(seed: int) -> Script:
    """The example of a seed."""
    chance = random.Random(seed)
    hosts = tuple(f"h{number}" for number in range(1, chance.randint(2, 3) + 1))
    names = [f"v{number}" for number in range(chance.randint(1, 4))]
    objects = [one for name in names for one in _machine(name, chance)]
    disks = [one["metadata"]["name"] for one in objects if one["kind"] == "Disk"]
    lines = ["0 keep 20"]
    for _ in range(chance.randint(2, 14)):
        at = chance.choice((chance.uniform(0, 12), chance.uniform(0, LENGTH_S)))
        lines += [f"{at + after:.1f} {event}" for after, event in _incident(hosts, names, disks, chance)]
    away = (chance.choice(hosts),) if chance.random() < 0.3 else ()
    return Script(seed, hosts, tuple(objects), tuple(lines), tuple(f"host/{one}" for one in away))


def _machine(name: str, chance: random.Random) -> list[dict[str, Any]]:
    spec: dict[str, Any] = {"cluster": "main", "memory": chance.choice(("256Mi", "1Gi", "4Gi"))}
    spec["maxMemory"] = "4Gi"
    spec["runPolicy"] = chance.choice(("Always", "RestartOnFailure"))
    head = {"apiVersion": "ostler.dev/v1alpha1"}
    found = [{**head, "kind": "VirtualMachine", "metadata": {"name": name}, "spec": spec}]
    if chance.random() < 0.6:
        spec["disks"] = [{"disk": name}]
        disk = {"storageDomain": "shared", "size": "1Gi"}
        found.append({**head, "kind": "Disk", "metadata": {"name": name}, "spec": disk})
    return found


def _incident(
    hosts: tuple[str, ...], vms: list[str], disks: list[str], chance: random.Random
) -> list[tuple[float, str]]:
    """Something that goes wrong, with what follows: seconds after its beginning, and the event."""
    host, vm, kind = f"host/{chance.choice(hosts)}", f"vm/{chance.choice(vms)}", chance.choice(KINDS)
    soon, late = chance.uniform(0.2, 15), chance.uniform(15, 120)
    back = chance.choice((soon, late))
    number = chance.randint(1, 3)
    return chance.choice(
        [
            [(0.0, f"power-off {host}"), (back, f"power-on {host}")],
            [(0.0, f"power-off {host}"), (soon, f"confirm-off {host}"), (late, f"power-on {host}")],
            [(0.0, f"cut {host}"), (back, f"mend {host}")],
            [
                (0.0, f"cut {host}"),
                (soon, f"power-off {host}"),
                (late, f"power-on {host}"),
                (late, f"mend {host}"),
            ],
            [(0.0, f"restart-agent {host}")],
            [(0.0, f"lose-ledger {host}")],
            [(0.0, f"lose-answers {host} {chance.randint(1, 6)}")],
            [(0.0, f"fail {host} {kind} {number}")],
            [(0.0, f"slow {kind} {chance.choice((3, 10, 60))}")],
            [(0.0, f"hold-up {host} {kind} {chance.choice((4, 30, 100))}")],
            [(0.0, f"refuse {host} no"), (back, f"accept {host}")],
            [(0.0, f"break-migration {vm}")],
            [(0.0, f"{chance.choice(('destroy', 'crash', 'shut-down'))} {vm}")],
            [(0.0, "kill"), (soon, "keep 20")],
            [(0.0, f"kill-at {chance.randint(1, 20)}"), (late, "keep 20")],
            [(0.0, "kill"), (0.1, "lose-store"), (soon, "keep 20")],
            [(0.0, f"kill-at {chance.randint(1, 6)}"), (soon, "lose-store"), (late, "keep 20")],
            [(0.0, "apply second"), (soon, "apply second")],
            [(0.0, "takeover second")],
            [(0.0, "kill-at 3 second"), (0.1, "takeover second"), (late, "apply second")],
            [(0.0, f"edit {host} maintenance=true"), (back, f"edit {host} maintenance=false")],
            [(0.0, f"edit {host} maintenance=true")],
            [(0.0, f"edit {vm} runPolicy=Stopped"), (late, f"edit {vm} runPolicy=Always")],
            _edits(hosts, vms, disks, chance),
        ]
    )


def _edits(
    hosts: tuple[str, ...], vms: list[str], disks: list[str], chance: random.Random
) -> list[tuple[float, str]]:
    """Manifests that change again and again while what they changed before is still being done."""
    kind = chance.choice(("stop-vm", "start-vm", "migrate-vm"))
    found, at = [(0.0, f"slow {kind} {chance.choice((2, 10))}")], 0.0
    for _ in range(chance.randint(2, 6)):
        at += chance.uniform(1, 25)
        what, vm, host = chance.choice(EDITS), chance.choice(vms), chance.choice(hosts)
        if what == "disk" and disks:  # goes from whoever has it to this one
            found += [(at, f"edit vm/{one} disks=[]") for one in vms]
            found.append((at, f'edit vm/{vm} disks=[{{"disk":"{chance.choice(disks)}"}}]'))
        elif what == "address":
            found.append((at, f"edit host/{host} address=192.0.2.{chance.randint(100, 200)}"))
        elif what in ("placement", "disk"):
            found.append((at, f'edit vm/{vm} placement={{"hosts":[{host}]}}'))
        else:
            found.append((at, f"edit vm/{vm} {what}"))
    return found


class BrokenLawError(AssertionError):
    """What must hold does not; the message shows the script and the log."""


def run_script(script: Script) -> str:
    """Plays it, ends all faults, and lets an applier converge; the log. Raises BrokenLawError."""
    return run_in_virtual_time(_run(script))


async def _run(script: Script) -> str:
    line = make_timeline(Manifests(["center", *script.hosts], list(script.objects)))
    for host in line.world.hosts.values():
        host.capabilities = replace(host.capabilities, memory_bytes=SMALL_BYTES)
    errors: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(str(context)))
    try:
        await _play(line, parse_script(script.lines))
        await _end_faults(line, script)
        doubt = await _converge(line, script)
    except BrokenPromiseError:
        doubt = ""  # the world has written it down
    faults = [*line.world.broken, *errors, *([doubt] if doubt else [])]
    log = render_log(line)
    if faults:
        raise BrokenLawError("\n".join((*faults, str(script), log)))
    return log


async def _play(line: Timeline, events: tuple[Event, ...]) -> None:
    """Every event that can happen at its time."""
    loop = asyncio.get_running_loop()
    for event in events:
        await asyncio.sleep(max(0.0, event.at_s - loop.time()))
        if _may_happen(line, event):
            try:
                line.happen(event)
            except (CaseError, ScriptError):
                continue
    await asyncio.sleep(max(0.0, LENGTH_S - loop.time()))


def _may_happen(line: Timeline, event: Event) -> bool:
    """No two processes with one store, and nobody lies about a host that is off."""
    if event.name in ("keep", "apply", "takeover"):
        name = event.words[-1] if event.name != "keep" and event.words else "ostler"
        return not line.applier(name).running
    if event.name == "lose-store":
        return not line.applier().running
    if event.name == "kill":
        return line.applier().running
    if event.name == "confirm-off":
        return not line.world.hosts[event.words[0]].powered
    return True


async def _end_faults(line: Timeline, script: Script) -> None:
    """All processes end, all hosts but those away come back, nothing fails any more."""
    for one in line.appliers.values():
        if one.running:
            one.kill()
    for name, host in line.world.hosts.items():
        if name in script.away:
            host.reachable = False
            line.world.note(name, "is away for ever")
            continue
        if not host.powered:
            line.world.power_on(name)
        if not host.reachable:
            line.world.mend(name)
    line.faults.__init__()  # type: ignore[misc]
    for host in script.hosts:
        line.manifests.edit(f"host/{host}", "maintenance=false")
    for name in line.manifests.desired().vms:
        line.manifests.edit(name, "placement={}")
    await asyncio.sleep(SETTLING_S)


async def _converge(line: Timeline, script: Script) -> str:
    """Turns until nothing is left to do; what speaks against it, empty if nothing does."""
    applier = line.applier()
    center = line.manifests.desired().data_center.uuid
    for name in applier.store.attempts.all(center):
        applier.store.attempts.forget(center, name)
    for _ in range(MOST_TURNS):
        applier.process = type(applier.process)()
        turn = await applier.apply()
        settled = any(one.fate.settled or one.fate.open for one in turn.settled)
        waiting = [one for one in turn.done.observed.open_orders.values() if one.host not in script.away]
        if not turn.done.plan.steps and not settled and not waiting:
            full = {one.object for one in turn.done.plan.blocked if FULL in one.reason}
            return _doubt(line, script, full) or await _doubt_of_new_store(line, script)
        await asyncio.sleep(SETTLING_S)
    return f"it does not converge: still {[one.id for one in turn.done.plan.steps]} after {MOST_TURNS} turns"


def _doubt(line: Timeline, script: Script, full: set[str]) -> str:
    """Every VM runs where it may, unless its guest ended by itself, it is to be stopped, a host away may run it, or
    there is no room for it (full)."""
    desired = line.manifests.desired()
    running = [one.config.object for host in line.world.hosts.values() for one in host.guests.values()]
    records = {one.object: one for domain in line.world.storage.values() for one in domain.vms.values()}
    for name, vm in desired.vms.items():
        if name in full:
            continue
        record = records.get(name)
        run = record.run if record else None
        if vm.run_policy is RunPolicy.STOPPED:
            if name in running and not script.away:
                return f"{name} runs and is to be stopped"
        elif run is not None and run.closed == "shutdown" and vm.run_policy is not RunPolicy.ALWAYS:
            continue
        elif name not in running and not script.away:
            return f"{name} does not run"
    return ""


async def _doubt_of_new_store(line: Timeline, script: Script) -> str:
    """With an empty store the same is planned: nothing. What is blocked names a host that is away.

    Of orders that such a host may have taken an empty store knows nothing; what they and it do must not collide.
    """
    newcomer = SimulatedApplier("newcomer", line.world, line.links, line.manifests.desired)
    turn = await newcomer.apply()
    for _ in range(MOST_TURNS if script.away else 0):
        if turn.done.plan.steps:
            await asyncio.sleep(SETTLING_S)
            turn = await newcomer.apply()
    plan = turn.done.plan
    if plan.steps:
        return f"with a new store there is more to do: {[one.id for one in plan.steps]}"
    for one in (*plan.blocked, *plan.deferred):
        if FULL not in one.reason and not any(host in f"{one.object} {one.reason}" for host in script.away):
            return f"it stays blocked: {one.object}: {readable(one.reason, line.names())}"
    return ""


def shorten(script: Script) -> Script:
    """A script with as few lines as possible that still breaks a law."""
    number = 0
    while number < len(script.lines):
        shorter = replace(script, lines=(*script.lines[:number], *script.lines[number + 1 :]))
        if _breaks(shorter):
            script = shorter
        else:
            number += 1
    return script


def _breaks(script: Script) -> bool:
    try:
        run_script(script)
    except BrokenLawError:
        return True
    except CaseError:
        return False  # manifests that nobody could apply
    return False
