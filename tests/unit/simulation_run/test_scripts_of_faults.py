"""Scripts: what is understood, and in which order it happens."""

import pytest

from reconciler.simulation.clock import run_in_virtual_time
from reconciler.simulation.faults import Faults
from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.script import ScriptError, befall, parse_script, play
from reconciler.simulation.world import World

UUID = "00000000-0000-4000-8000-000000000001"


def world() -> World:
    return World({"host/h1": SimulatedHost("host/h1", UUID)})


def test_events_happen_at_their_times_in_order():
    one = world()
    events = parse_script(["# dark", "", "7.5 power-on host/h1", "2 power-off host/h1"])

    run_in_virtual_time(play(one, Faults(), events))

    assert one.log == [(2000, "host/h1", "power off"), (7500, "host/h1", "power on")]


@pytest.mark.parametrize(
    "line", ["power-off host/h1", "-1 cut host/h1", "nan cut host/h1", "5", "1e99 cut host/h1"]
)
def test_a_line_without_time_or_event_is_refused(line):
    with pytest.raises(ScriptError, match="line 1"):
        parse_script([line])


@pytest.mark.parametrize(
    "line",
    [
        "0 power-on host/h1",
        "0 cut host/h2",
        "0 crash vm/a",
        "0 slow start-vm quickly",
        "0 slow start-vm nan",
        "0 hold-up host/h1 start-vm -1",
        "0 fail host/h1 x",
    ],
)
def test_what_cannot_happen_is_refused(line):
    with pytest.raises(ScriptError):
        befall(world(), Faults(), parse_script([line])[0])
