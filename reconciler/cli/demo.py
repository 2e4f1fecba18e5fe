"""`make demo` where this machine cannot run hosts: the same steps on simulated ones. Called by scripts/demo-simulated."""

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from reconciler.cli.failures import CommandError
from reconciler.cli.loading import load_data_center
from reconciler.cli.rehearsal import Rehearsal, guests_of
from reconciler.cli.simulate import Spectator, show_hosts
from reconciler.cli.worlds import HostSize, found_world, with_maintenance
from reconciler.loop import Turn
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.simulation.script import parse_script

QUICKSTART = Path(__file__).parents[2] / "examples/manifests/quickstart"
SIZE = HostSize(memory_bytes=8 * 2**30, cpus=4)


class DemoError(Exception):
    """The demo did not show what it is to show."""


def main(arguments: Sequence[str]) -> int:
    """Every step of the demo; 0 if each one did what it says."""
    paths = [str(one) for one in arguments] or [str(QUICKSTART)]
    try:
        desired, _ = load_data_center(paths)
        rehearsal = Rehearsal(desired, found_world(desired, SIZE), Spectator())
        run_in_virtual_time(_demonstrate(rehearsal))
    except (CommandError, DemoError) as error:
        typer.echo(f"the demo failed: {error}", err=True)
        return 1
    return 0


async def _demonstrate(rehearsal: Rehearsal) -> None:
    _say(
        "1. three SIMULATED hosts: no guest runs, times are virtual; planner, executor and journal are the real ones"
    )
    show_hosts(rehearsal.world)
    _say("2. what is to be done, and why; then it is done")
    _expect(await rehearsal.take_turn(), steps=True)
    show_hosts(rehearsal.world)
    _say("3. a second plan: nothing to do")
    _expect(await rehearsal.take_turn(), steps=False)
    drained = next(iter(rehearsal.desired.hosts))
    _say(f"4. maintenance of {drained}: its VMs move away, live")
    await _drain(rehearsal, drained)
    for vm in list(rehearsal.desired.vms)[:2]:
        _say(f"5. somebody destroys {vm}: the plan shows it with its cause, and repairs it")
        await _destroy(rehearsal, vm)
    _say("done: all hosts were simulated; `make demo` as root on Debian 12 shows the same with real guests")


async def _drain(rehearsal: Rehearsal, host: str) -> None:
    """One host goes into maintenance, and no guest restarts."""
    before = _boots(rehearsal)
    rehearsal.desired = with_maintenance(rehearsal.desired, {host: True})
    _expect(await rehearsal.take_turn(), steps=True)
    show_hosts(rehearsal.world)
    if guests_of(rehearsal.world)[host] or _boots(rehearsal) != before:
        raise DemoError("a guest stayed, or restarted")
    typer.echo("none of the guests restarted")
    _expect(await rehearsal.take_turn(), steps=False)


async def _destroy(rehearsal: Rehearsal, vm: str) -> None:
    """A guest ends behind our back, and starts again."""
    before = _boots(rehearsal)
    await rehearsal.play(parse_script([f"0 destroy {vm}"]))
    _expect(await rehearsal.take_turn(), steps=False)
    restarted = [name for name, boot in _boots(rehearsal).items() if before[name] != boot]
    if restarted != [vm]:
        raise DemoError(f"{vm} was to restart, and it was {restarted}")


def _boots(rehearsal: Rehearsal) -> dict[str, int]:
    """When each guest began, in virtual ms."""
    hosts = rehearsal.world.hosts.values()
    return {one.config.object: one.started_ms for host in hosts for one in host.guests.values()}


def _expect(turn: Turn, *, steps: bool) -> None:
    """Raises DemoError if there was something to do and should not have been, or it did not succeed."""
    if bool(turn.done.plan.steps) != steps:
        raise DemoError("there is something to do" if turn.done.plan.steps else "there is nothing to do")
    if steps and (turn.outcome is None or not turn.outcome.achieved):
        raise DemoError("a step did not succeed")


def _say(text: str) -> None:
    typer.echo(f"\n== {text}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
