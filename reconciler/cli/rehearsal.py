"""A data center rehearsed in virtual time: the real loop, executor and store over a simulated world.

`ostler simulate` plays on it; the demo on simulated hosts does too.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from reconciler.cli.worlds import with_maintenance
from reconciler.execution.run import Applier, Watcher
from reconciler.loop import Estate, Turn, carry_out, look_settled
from reconciler.model.desired import Desired
from reconciler.model.options import PassOptions
from reconciler.model.plan import Plan
from reconciler.model.reports import HostOffProof, StorageReport
from reconciler.observing.proofs import find_open_runs
from reconciler.simulation.faults import Faults
from reconciler.simulation.link import SimulatedLink, link_fleet
from reconciler.simulation.script import Event, ScriptError, befall, check_event
from reconciler.simulation.world import World
from reconciler.store.store import Store, open_memory_store

MOST_TURNS = 10
PERIOD_S = 10.0
MOST_PERIODS = 500
OWN_EVENTS = {"maintenance": ("HOST on|off", 2), "confirm-off": ("HOST", 1)}
"""Events of manifests and persons, beside those of the world: their words, and how many."""


class Audience(Protocol):
    """Is told what happens."""

    def planned(self, plan: Plan) -> Watcher | None:
        """A plan was made; who watches its run."""
        ...

    def turned(self, turn: Turn) -> None:
        """A turn has ended."""
        ...

    def happened(self, at_s: float, event: Event) -> None:
        """The script let something happen."""
        ...


@dataclass(slots=True)
class Rehearsal:
    """One applier in one world. Use it inside `run_in_virtual_time`."""

    desired: Desired
    world: World
    audience: Audience
    options: PassOptions = field(default_factory=PassOptions)
    faults: Faults = field(default_factory=Faults)
    store: Store = field(default_factory=open_memory_store)
    links: dict[str, SimulatedLink] = field(init=False)

    def __post_init__(self) -> None:
        self.links = link_fleet(self.world, self.faults)

    def estate(self) -> Estate:
        """The data center as declared now. Secrets have made-up values, so they are not compared."""
        applier = Applier(
            "rehearsal",
            b"rehearsal",
            lambda _reference: "rehearsed",
            wallclock=lambda: self.world.wallclock_ms,
        )
        return Estate(self.desired, self.links, self.store, applier, self.options, compares_secrets=False)

    async def take_turn(self) -> Turn:
        """Looks, plans, and carries out."""
        estate = self.estate()
        turn = await look_settled(estate)
        watcher = self.audience.planned(turn.done.plan)
        turn = await carry_out(estate, turn, watcher)
        self.audience.turned(turn)
        return turn

    async def converge(self) -> Turn:
        """Turn after turn until there is nothing to do, or it does not become less; the last turn."""
        turn = await self.take_turn()
        for _ in range(MOST_TURNS):
            if not turn.done.plan.steps or turn.objections:
                break
            turn = await self.take_turn()
        return turn

    async def play(self, events: Sequence[Event]) -> Turn:
        """The events at their times, a turn now and then meanwhile, and then to the end. Raises ScriptError."""
        period_s = max(PERIOD_S, max((one.at_s for one in events), default=0.0) / MOST_PERIODS)
        playing = asyncio.create_task(self._play(events))
        try:
            while not playing.done():
                await asyncio.wait({playing}, timeout=period_s)
                await self.take_turn()
            playing.result()
        finally:
            playing.cancel()
        return await self.converge()

    async def _play(self, events: Sequence[Event]) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for event in events:
            await asyncio.sleep(max(0.0, began_s + event.at_s - loop.time()))
            self._befall(event)
            self.audience.happened(loop.time(), event)

    def _befall(self, event: Event) -> None:
        if event.name not in OWN_EVENTS:
            befall(self.world, self.faults, event)
            return
        host = self.desired.hosts.get(event.words[0])
        if host is None:
            raise ScriptError(f"`{event}`: no {event.words[0]} is declared")
        if event.name == "maintenance":
            self.desired = with_maintenance(self.desired, {host.meta.id: event.words[1] == "on"})
        else:
            center = self.desired.data_center.uuid
            seen = [
                StorageReport(one.uuid, None, contents=one.contents()) for one in self.world.storage.values()
            ]
            runs = tuple(sorted(find_open_runs(center, seen).get(host.uuid, ())))
            self.store.confirmations.add(center, HostOffProof(host.uuid, "confirmed", runs, "rehearsal"))


def check_events(events: Sequence[Event]) -> None:
    """Raises ScriptError for the first one that is not known here, or has the wrong words."""
    for event in events:
        if event.name not in OWN_EVENTS:
            check_event(event)
            continue
        words, number = OWN_EVENTS[event.name]
        if len(event.words) != number or (
            event.name == "maintenance" and event.words[1] not in ("on", "off")
        ):
            raise ScriptError(f"`{event}`: say `{event.name} {words}`")


def guests_of(world: World) -> dict[str, list[str]]:
    """Titles or object ids of the guests on each host, sorted."""
    return {
        name: sorted(
            guest.config.object if guest.managed else guest.config.title
            for guest in host.guests.values()
            if guest.state != "incoming"
        )
        for name, host in sorted(world.hosts.items())
    }


Clock = Callable[[], float]


def virtual_clock() -> Clock:
    """The running loop's time, in seconds."""
    return asyncio.get_running_loop().time
