"""What befalls a simulated world, one line an event: `12.5 power-off host/h2`. Timelines and `ostler simulate` read it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reconciler.simulation.faults import Faults
from reconciler.simulation.storage import SimulationFault
from reconciler.simulation.world import World

LONGEST_S = 1e7
"""About four months."""


class ScriptError(Exception):
    """A line of a script cannot be understood, or cannot happen; the message says why."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens at a virtual time in seconds: its name and what it is about."""

    at_s: float
    name: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.name, *self.words))


@dataclass(frozen=True, slots=True)
class Happening:
    """An event that a script may name. words: what it is about, for people and to count."""

    words: str
    act: Callable[..., None]

    def fits(self, words: Sequence[str]) -> bool:
        """Whether a line has as many words as it takes; the last one may be many."""
        wanted = len(self.words.split())
        return len(words) == wanted or (self.words.endswith("…") and len(words) >= wanted)


def parse_script(lines: Iterable[str]) -> tuple[Event, ...]:
    """Events in the order of their times. Empty lines and `#` lines are left out. Raises ScriptError."""
    events = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            at_s = float(words[0])
        except ValueError:
            at_s = -1.0
        if not 0 <= at_s < LONGEST_S or len(words) < 2:
            raise ScriptError(
                f"line {number}: `{line.strip()}` is not of the form SECONDS EVENT …, such as `12 power-off host/h2`"
            )
        events.append(Event(at_s, words[1], tuple(words[2:])))
    return tuple(sorted(events, key=lambda event: event.at_s))


def check_event(event: Event) -> None:
    """Raises ScriptError for an event that is not in HAPPENINGS, or has the wrong words."""
    happening = HAPPENINGS.get(event.name)
    if happening is None:
        known = ", ".join(f"`{f'{name} {one.words}'.strip()}`" for name, one in sorted(HAPPENINGS.items()))
        raise ScriptError(f"unknown event `{event.name}`; there is {known}")
    if not happening.fits(event.words):
        raise ScriptError(f"`{event}`: say `{f'{event.name} {happening.words}'.strip()}`")


def befall(world: World, faults: Faults, event: Event) -> None:
    """One event happens now. Raises ScriptError if it cannot."""
    check_event(event)
    try:
        HAPPENINGS[event.name].act(world, faults, *event.words)
    except KeyError as error:
        raise ScriptError(f"`{event}`: there is no {error.args[0]}") from error
    except (SimulationFault, ValueError) as error:
        raise ScriptError(f"`{event}` cannot happen: {error}") from error


async def play(world: World, faults: Faults, events: Sequence[Event]) -> None:
    """All events, each at its time, counted from now."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for event in events:
        await asyncio.sleep(max(0.0, began + event.at_s - loop.time()))
        befall(world, faults, event)


def _to_host(method: Callable[[World, str], None]) -> Happening:
    return Happening("HOST", lambda world, _faults, host: method(world, host))


def _power_off(world: World, host: str) -> None:
    if not world.hosts[host].powered:
        raise SimulationFault(f"{host} is off")
    world.power_off(host)


def _power_on(world: World, host: str) -> None:
    if world.hosts[host].powered:
        raise SimulationFault(f"{host} is on")
    world.power_on(host)


def _lose_answers(world: World, faults: Faults, host: str, number: str) -> None:
    faults.lost_answers[world.hosts[host].id] = int(number)


def _fail(world: World, faults: Faults, host: str, kind: str, number: str) -> None:
    faults.failing[world.hosts[host].id, kind] = int(number)


def _amount(text: str) -> float:
    """A number above 0 that time can be multiplied with. Raises ValueError."""
    number = float(text)
    if not 0 < number < LONGEST_S:
        raise ValueError(f"{text} is not between 0 and {LONGEST_S:g}")
    return number


def _slow(_world: World, faults: Faults, kind: str, factor: str) -> None:
    faults.slow[kind] = _amount(factor)


def _hold_up(world: World, faults: Faults, host: str, kind: str, seconds: str) -> None:
    faults.late[world.hosts[host].id, kind] = _amount(seconds)


def _break_migration(_world: World, faults: Faults, vm: str) -> None:
    faults.broken_migrations.add(vm)


def _skew(world: World, _faults: Faults, host: str, seconds: str) -> None:
    world.hosts[host].skew_ms = round(float(seconds) * 1000)
    world.hosts[host].changed()
    world.note(world.hosts[host].id, f"its clock is {seconds} s ahead")


def _refuse(world: World, faults: Faults, host: str, *words: str) -> None:
    faults.refuses[world.hosts[host].id] = " ".join(words)


def _accept(world: World, faults: Faults, host: str) -> None:
    faults.refuses.pop(world.hosts[host].id, None)


HAPPENINGS: dict[str, Happening] = {
    "power-off": _to_host(_power_off),
    "power-on": _to_host(_power_on),
    "cut": _to_host(World.cut),
    "mend": _to_host(World.mend),
    "restart-agent": _to_host(World.restart_agent),
    "lose-ledger": _to_host(World.lose_ledger),
    "destroy": Happening("VM", lambda world, _faults, vm: world.end_guest(vm, "destroyed")),
    "shut-down": Happening("VM", lambda world, _faults, vm: world.end_guest(vm, "shutdown")),
    "crash": Happening("VM", lambda world, _faults, vm: world.end_guest(vm, "crashed")),
    "lose-answers": Happening("HOST NUMBER", _lose_answers),
    "fail": Happening("HOST KIND NUMBER", _fail),
    "slow": Happening("KIND FACTOR", _slow),
    "hold-up": Happening("HOST KIND SECONDS", _hold_up),
    "break-migration": Happening("VM", _break_migration),
    "lose-master": Happening("", lambda world, _faults: world.lose_master()),
    "restore-master": Happening("", lambda world, _faults: world.restore_master()),
    "refuse": Happening("HOST TEXT…", _refuse),
    "skew": Happening("HOST SECONDS", _skew),
    "accept": Happening("HOST", _accept),
}
"""Everything that a script may let happen."""
