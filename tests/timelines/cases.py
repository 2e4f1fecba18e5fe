"""Case folders: README.md, start.yaml, script.yaml -> log.txt and end.yaml.

start.yaml:
  with: [center, h1, web-1]    base files, those of tests/scenarios; `objects` replace those of the same name
  objects: [{kind: …}]
  start: converged | empty     everything applied before the time begins (the default), or bare hosts
script.yaml: a list of lines `SECONDS EVENT WORDS…`
  of the world                 see reconciler/simulation/script.py
  apply [NAME]                 one turn as `ostler apply`; NAME is the applier's, `ostler` if left out
  takeover [NAME]              the same, ending another's lease
  keep SECONDS [NAME]          turn after turn, as `ostler run`; stop [NAME] and go-on [NAME] hold it up
  kill [NAME]                  at once; kill-at LINE [NAME]: after so many journal lines of its next turn
  lose-store [NAME], confirm-off HOST [NAME]
  edit OBJECT FIELD=VALUE, leave-out OBJECT
  end                          needed after `keep`
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from reconciler.loop import look_settled
from reconciler.planfile.text import render_text
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.simulation.faults import Faults
from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.link import SimulatedLink, link_fleet
from reconciler.simulation.script import HAPPENINGS, Event, befall, parse_script
from reconciler.simulation.world import World
from tests.scenarios.manifests import CaseError
from tests.timelines.appliers import SimulatedApplier
from tests.timelines.manifests import Manifests

ROOT = Path(__file__).parent
MOST_TURNS = 5
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
APPLY = re.compile(r"\b[0-9a-f]{16}\b")


@dataclass
class Timeline:
    """A world, its manifests, and those who apply them."""

    manifests: Manifests
    world: World
    links: dict[str, SimulatedLink]
    faults: Faults
    appliers: dict[str, SimulatedApplier] = field(default_factory=dict)

    def applier(self, name: str = "ostler") -> SimulatedApplier:
        """The applier of that name, made when first named."""
        if name not in self.appliers:
            self.appliers[name] = SimulatedApplier(name, self.world, self.links, self.manifests.desired)
        return self.appliers[name]

    def happen(self, event: Event) -> None:
        """An event of the world, or one of those who apply. Raises CaseError, ScriptError."""
        if event.name in ACTS:
            ACTS[event.name](self, *event.words)
        elif event.name in HAPPENINGS:
            befall(self.world, self.faults, event)
        else:
            raise CaseError(f"unknown event {event.name!r}")

    def names(self) -> dict[str, str]:
        """Object ids by uuid."""
        desired = self.manifests.desired()
        known = {host.uuid: host.id for host in self.world.hosts.values()}
        for domain in self.world.storage.values():
            known |= {uuid: one.object for uuid, one in domain.vms.items()}
            known |= {image: one.object for image, one in domain.disks.items()}
        return known | {one.uuid: one.meta.id for one in desired.storage_domains.values()}


def _apply(line: Timeline, name: str = "ostler") -> None:
    one = line.applier(name)
    one.start(one.apply_once())


def _takeover(line: Timeline, name: str = "ostler") -> None:
    one = line.applier(name)
    one.start(one.apply_once(takeover=True))


def _keep(line: Timeline, period: str, name: str = "ostler") -> None:
    one = line.applier(name)
    one.period_s = float(period)
    one.start(one.keep())


def _kill_at(line: Timeline, number: str, name: str = "ostler") -> None:
    line.applier(name).process.deadly_line = int(number)


def _stop(line: Timeline, name: str = "ostler") -> None:
    line.applier(name).going.clear()
    line.applier(name).note("is stopped")


def _go_on(line: Timeline, name: str = "ostler") -> None:
    line.applier(name).note("goes on")
    line.applier(name).going.set()


def _edit(line: Timeline, name: str, assignment: str) -> None:
    line.manifests.edit(name, assignment)
    line.world.note("git", f"{name}: {assignment.replace('=', ': ')}")


def _leave_out(line: Timeline, name: str) -> None:
    line.manifests.remove(name)
    line.world.note("git", f"{name} left out")


ACTS: dict[str, Callable[..., None]] = {
    "apply": _apply,
    "takeover": _takeover,
    "keep": _keep,
    "kill": lambda line, name="ostler": line.applier(name).kill(),
    "kill-at": _kill_at,
    "stop": _stop,
    "go-on": _go_on,
    "lose-store": lambda line, name="ostler": line.applier(name).lose_store(),
    "confirm-off": lambda line, host, name="ostler": line.applier(name).confirm_off(host),
    "edit": _edit,
    "leave-out": _leave_out,
    "end": lambda line: [one.process.task.cancel() for one in line.appliers.values() if one.process.task],
}


def all_cases() -> list[str]:
    """Every case as `topic/case`, sorted."""
    return sorted(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("*/*/script.yaml"))


def run_case(name: str) -> dict[str, str]:
    """The golden files of a case as they are now, by name."""
    start = yaml.safe_load((ROOT / name / "start.yaml").read_text())
    if strange := set(start) - {"with", "objects", "start"}:
        raise CaseError(f"{name}: unknown keys {sorted(strange)} in start.yaml")
    events = parse_script(yaml.safe_load((ROOT / name / "script.yaml").read_text()))
    manifests = Manifests(start.get("with", []), start.get("objects", []))
    return run_in_virtual_time(_run(manifests, events, start.get("start", "converged")))


async def _run(manifests: Manifests, events: tuple[Event, ...], start: str) -> dict[str, str]:
    line = make_timeline(manifests)
    if start == "converged":
        await converge(line, SimulatedApplier("prologue", line.world, line.links, manifests.desired))
        line.world.log.clear()
        for host in line.world.hosts.values():
            host.holder, host.lease_until_ms = "", 0
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for event in events:
        await asyncio.sleep(max(0.0, began_s + event.at_s - loop.time()))
        line.happen(event)
    await asyncio.gather(*(one.process.task for one in line.appliers.values() if one.process.task))
    log = render_log(line, began_s)
    end = await describe_end(line, line.applier())
    assert not line.world.broken, line.world.broken
    return {"log.txt": log, "end.yaml": end}


def make_timeline(manifests: Manifests) -> Timeline:
    """Bare hosts with new ledgers, as declared."""
    declared = manifests.desired().hosts
    world = World({name: SimulatedHost(name, host.uuid) for name, host in declared.items()})
    faults = Faults()
    return Timeline(manifests, world, link_fleet(world, faults), faults)


async def converge(line: Timeline, applier: SimulatedApplier, turns: int = MOST_TURNS) -> None:
    """Turns until nothing is left to do. Raises CaseError if that does not come."""
    for _ in range(turns):
        turn = await applier.apply()
        if not turn.done.plan.steps:
            return
    raise CaseError(f"still steps after {turns} turns: {[one.id for one in turn.done.plan.steps]}")


def render_log(line: Timeline, began_s: float = 0.0) -> str:
    """A line for everything that happened: virtual seconds, who, what."""
    names = line.names()
    width = max((len(who) for _, who, _ in line.world.log), default=0)
    lines = (
        f"{ms / 1000 - began_s:7.1f}  {who:{width}}  {readable(what, names)}\n"
        for ms, who, what in line.world.log
    )
    return "".join(lines)


def readable(text: str, names: dict[str, str]) -> str:
    """Text with object ids for uuids, and without what is different in every run."""
    return APPLY.sub("an-apply", UUID.sub(lambda found: names.get(found[0], "a-uuid"), text))


async def describe_end(line: Timeline, applier: SimulatedApplier) -> str:
    """Who runs where, what is open, and what would be planned now."""
    applier.process = type(applier.process)()
    done = (await look_settled(applier.estate())).done
    names = line.names()
    body: dict[str, Any] = {
        "hosts": {name: _describe_host(host) for name, host in sorted(line.world.hosts.items())},
        "runs": dict(_describe_runs(line)),
        "open orders": {
            one.object: f"{one.kind} on {one.host} is {one.state}"
            for one in done.observed.open_orders.values()
        },
        "plan": [readable(text, names) for text in render_text(done.plan).splitlines()],
    }
    kept = {key: value for key, value in body.items() if value}
    return yaml.safe_dump(kept, sort_keys=False, width=1000, allow_unicode=True)


def _describe_host(host: SimulatedHost) -> str:
    guests = ", ".join(sorted(one.config.object for one in host.guests.values())) or "no guests"
    flags = [
        *(["off"] if not host.powered else []),
        *(["cut off"] if not host.reachable else []),
        *(["maintenance"] if host.maintenance else []),
    ]
    return ", ".join((*flags, guests))


def _describe_runs(line: Timeline) -> Iterator[tuple[str, str]]:
    """`vm/web-1: run 2 open on host/h1`."""
    hosts = {host.uuid: host.id for host in line.world.hosts.values()}
    records = [one for domain in line.world.storage.values() if domain.master for one in domain.vms.values()]
    for record in sorted(records, key=lambda one: one.object):
        run = record.run
        if run is None:
            yield record.object, "never ran"
        elif run.closed is not None:
            yield record.object, f"run {run.number} {run.closed}"
        else:
            where = " and ".join(hosts.get(one.uuid, one.uuid) for one in run.hosts)
            yield record.object, f"run {run.number} open on {where}"
