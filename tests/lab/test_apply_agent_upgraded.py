"""An agent replaced by a newer one while its host's guests run and one of them moves away: nobody feels it."""

import json
import sys
from dataclasses import replace

import pytest

from reconciler.lab.model import Lab
from reconciler.lab.services import start_agent, stop_agent
from tests.lab.apply_estate import SLOW_MIGRATION, Estate, finish, wait_for

NEWER = "99.1"
PROGRAM = (
    f"import nodeagent.version; nodeagent.version.AGENT_VERSION = '{NEWER}'; "
    "from nodeagent.main import main; main()"
)


@pytest.fixture
def newer(estate: Estate) -> Lab:
    """The lab with the agent of a later release installed."""
    return replace(estate.lab, agent_command=(sys.executable, "-c", PROGRAM))


def versions(estate: Estate) -> dict[str, str]:
    """What the agents say that they are, by host."""
    observed = estate.directory / "observed.json"
    done = estate.ostler("observe", "-f", str(estate.write()), "--out", str(observed))
    assert done.status == 0, done
    hosts = json.loads(observed.read_text())["hosts"]
    return {one["host"]: one["state"]["agent_version"] for one in hosts}


def test_an_agent_is_upgraded_while_a_guest_stays_and_another_moves_away(estate: Estate, newer: Lab) -> None:
    stays = estate.declare_vm("stays", placement={"hosts": ["h1"]}, maxMemory="192Mi")
    moves = estate.declare_vm("moves", placement={"hosts": ["h1"]})
    estate.change("cluster/main", migration=SLOW_MIGRATION)
    estate.apply()
    before = {vm: estate.see(vm) for vm in (stays, moves)}
    former = versions(estate)
    assert NEWER not in former.values()

    estate.change(moves, placement={"hosts": ["h2"]})
    process = estate.apply_in_background()
    wait_for(lambda: estate.migration_runs(moves, "h1"), "the migration", 60)
    stop_agent(estate.lab, "h1")
    assert estate.migration_runs(moves, "h1"), "libvirt goes on with it alone"
    start_agent(newer, "h1")

    finish(process, (0,))
    assert versions(estate) == former | {"host/h1": NEWER}
    assert estate.homes(moves) == ["h2"]
    estate.assert_undisturbed(moves, before[moves], moved=True)
    estate.assert_undisturbed(stays, before[stays])
    run = estate.record(moves).run
    assert run is not None
    assert (run.closed, [one.uuid for one in run.hosts]) == (None, [estate.lab.host("h2").uuid])
    estate.assert_settled()

    estate.change(stays, memory="160Mi")
    estate.apply()
    estate.report(stays, lambda seen: seen.memory_kib > 96 * 1024)
    estate.assert_undisturbed(stays, before[stays])
    estate.assert_settled()
