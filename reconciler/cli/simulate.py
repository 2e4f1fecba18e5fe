"""`ostler simulate`: what applying would lead to, carried out on simulated hosts in virtual time; and what if."""

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.failures import CommandError
from reconciler.cli.loading import find_oversized, load_data_center, load_reports, show_problems
from reconciler.cli.plan import DataCenterOption, PathsOption, PruneOption, status_of
from reconciler.cli.progress import ApplyProgress, show_outcome
from reconciler.cli.rehearsal import Rehearsal, check_events, guests_of, virtual_clock
from reconciler.cli.statuses import Status
from reconciler.cli.worlds import HostSize, found_world
from reconciler.desired.places import Places
from reconciler.execution.run import Watcher
from reconciler.loop import Turn
from reconciler.model.desired import Desired
from reconciler.model.options import PassOptions
from reconciler.model.plan import Plan
from reconciler.model.quantities import QuantityError, parse_bytes
from reconciler.planfile.text import blocked_line, headline, render_text
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.simulation.script import Event, ScriptError, parse_script
from reconciler.simulation.world import World

LARGEST_SCRIPT_BYTES = 2**20
MOST_CPUS = 4096


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("simulate")(simulate)


def simulate(
    file: PathsOption,
    data_center: DataCenterOption = None,
    observed: Annotated[
        str | None,
        typer.Option("--observed", help="Begin with what `ostler observe` wrote; else with bare hosts."),
    ] = None,
    hosts: Annotated[
        str, typer.Option("--hosts", help="Memory and CPUs of hosts that were not observed.")
    ] = "64Gi/16",
    maintenance: Annotated[
        list[str] | None, typer.Option("--maintenance", help="Then: this host goes into maintenance.")
    ] = None,
    fail: Annotated[list[str] | None, typer.Option("--fail", help="Then: this host loses its power.")] = None,
    script: Annotated[
        Path | None, typer.Option("--script", help="Then: a file with lines such as `12 power-off host/h2`.")
    ] = None,
    allow_prune: PruneOption = 0,
) -> int:
    """Apply manifests to simulated hosts; no real one is asked. Exits 0 if all is as declared in the end, 3 if
    something is blocked, 4 if steps are left."""
    desired, loaded = load_data_center(file, data_center)
    reports = load_reports(observed) if observed else None
    events = (*_what_if(desired, maintenance or [], fail or []), *_read_script(script))
    world = found_world(desired, _host_size(hosts), reports)
    typer.echo("all hosts are simulated; times are virtual", err=True)
    try:
        check_events(events)
        options = PassOptions(allow_prune=allow_prune)
        return run_in_virtual_time(_simulate(desired, world, events, options, loaded.places))
    except ScriptError as error:
        raise CommandError(f"{script or 'what if'}: {error}") from error


async def _simulate(
    desired: Desired, world: World, events: tuple[Event, ...], options: PassOptions, places: Places
) -> int:
    """Applies, lets the events happen, and tells the end."""
    rehearsal = Rehearsal(desired, world, Spectator(), options)
    turn = await rehearsal.converge()
    show_problems(find_oversized(desired, turn.gathered.reports, places))
    if events:
        turn = await rehearsal.play(events)
    plan = turn.done.plan
    typer.echo(f"end, after {virtual_clock()():.1f} s:")
    show_hosts(world)
    typer.echo(f"a further plan: {headline(plan)}")
    for one in plan.blocked:
        typer.echo(f"  blocked: {blocked_line(one)}")
    return Status.FAILED if plan.steps else status_of(plan)


class Spectator:
    """Shows plans on stdout, and how they go on stderr."""

    def __init__(self) -> None:
        self._progress: ApplyProgress | None = None
        self._shown = ""

    def planned(self, plan: Plan) -> Watcher | None:
        """Shows a plan unless it is the one that was shown last."""
        text = render_text(plan)
        if text != self._shown:
            typer.echo(f"plan, at {virtual_clock()():.1f} s:")
            typer.echo(text, nl=False)
        self._shown = text
        self._progress = ApplyProgress(plan, clock=virtual_clock()) if plan.steps else None
        return self._progress

    def turned(self, turn: Turn) -> None:
        """How the plan went."""
        for objection in turn.objections:
            typer.echo(f"refused: {objection}", err=True)
        if turn.outcome is not None and self._progress is not None:
            show_outcome(turn.outcome, turn.done.plan, self._progress.elapsed_s)

    def happened(self, at_s: float, event: Event) -> None:
        """Something that the script lets happen."""
        typer.echo(f"at {at_s:.1f} s: {event}", err=True)


def show_hosts(world: World) -> None:
    """A line a host: its state, and its guests."""
    for name, guests in guests_of(world).items():
        host = world.hosts[name]
        state = "off" if not host.powered else "cut off" if not host.reachable else "up"
        if state == "up" and host.maintenance:
            state = "maintenance"
        typer.echo(f"  {name}  {state}: {', '.join(guests) or 'no guests'}")


def _what_if(desired: Desired, maintenance: list[str], fail: list[str]) -> tuple[Event, ...]:
    """The events of the simple options."""
    found = [Event(0.0, "maintenance", (_host_id(desired, one), "on")) for one in maintenance]
    return (*found, *(Event(0.0, "power-off", (_host_id(desired, one),)) for one in fail))


def _host_id(desired: Desired, name: str) -> str:
    """A declared host by name or id. Ends the command if there is none."""
    found = next((one for one in (name, f"host/{name}") if one in desired.hosts), None)
    if found is None:
        raise CommandError(f"no host {name} is declared; there is {', '.join(desired.hosts) or 'none'}")
    return found


def _host_size(text: str) -> HostSize:
    """`64Gi/16`. Raises a usage error for other forms."""
    memory, _, cpus = text.partition("/")
    hint = "--hosts"
    if not cpus.isdecimal() or not 0 < int(cpus) <= MOST_CPUS:
        raise typer.BadParameter(f"{text}: say memory and CPUs, such as 64Gi/16", param_hint=hint)
    try:
        return HostSize(parse_bytes(memory), int(cpus))
    except QuantityError as error:
        raise typer.BadParameter(f"{memory}: {error}", param_hint=hint) from error


def _read_script(path: Path | None) -> tuple[Event, ...]:
    """The events of a script file. Ends the command with what is wrong with it."""
    if path is None:
        return ()
    if path.stat().st_size > LARGEST_SCRIPT_BYTES:
        raise CommandError(f"{path}: larger than any script")
    try:
        return parse_script(path.read_text(encoding="utf-8").splitlines())
    except (ScriptError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: {error}") from error
