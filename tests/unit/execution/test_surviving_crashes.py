"""The process is killed at every point of a ten-step plan, started again, and reaches the same end with each effect once.

Agents outlive it, as real ones do: their ledgers are files.
"""

import asyncio
import multiprocessing
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nodeagent.wire.orders import OrderResult
from reconciler.execution.leases import Leases
from reconciler.execution.run import Applier, PlanRun, Site, Ticket
from reconciler.execution.settling import Settlement, hosts_to_ask, settle
from reconciler.model.plan import Plan
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.store.journal import BegunStep, Journal
from reconciler.store.store import Store, open_memory_store, open_store
from tests.fakes.fleet import DATA_CENTER, Entry, FakeAgent, make_fleet, states_of

from .conftest import Bench, make_plan, make_step, short

ORDER = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
LINES = 2 * len(ORDER)


def ten_steps(done: set[str]) -> Plan:
    """What is left to do, as a planner would see it: a chain over two hosts."""
    left = [name for name in ORDER if name not in done]
    steps = [
        make_step(name, *([left[index - 1]] if index else []), host=f"host/h{1 + int(name) % 2}")
        for index, name in enumerate(left)
    ]
    return make_plan(*steps)


def effects_of(fleet: dict[str, FakeAgent]) -> Counter[str]:
    return Counter(short(key.partition("/")[2]) for agent in fleet.values() for key in agent.effects)


class DeadlyJournal(Journal):
    """Kills its process directly after its nth line is durable."""

    def __init__(self, journal: Journal, lines: int) -> None:
        self.__dict__.update(journal.__dict__)
        self.lines = lines

    def _write(self, *args: Any, **named: Any) -> None:
        super()._write(*args, **named)
        self.lines -= 1
        if self.lines == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def start(directory: Path, apply_id: str, deadly_line: int = 0, deadly_effect: int = 0) -> None:
    """What a command does: settle what an earlier process left, look, and apply what is left to do."""
    fleet = make_fleet(2, directory)
    for agent in fleet.values():
        agent.load()
    store = open_store(directory / "store.db")
    with store.exclusive():
        await settle_all(store, fleet)
        store.journal = DeadlyJournal(store.journal, deadly_line)
        left = deadly_effect

        def count_down(_step: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        for agent in fleet.values():
            agent.after_effect = count_down
        site = Site(fleet, {name: agent.uuid for name, agent in fleet.items()}, states_of(fleet))
        run = PlanRun(
            ten_steps(set(effects_of(fleet))),
            Ticket(apply_id, "p", "d", "{}"),
            site=site,
            applier=Applier(store.id),
            store=store,
        )
        outcome = await run.run()
        assert outcome.achieved, outcome


async def settle_all(store: Store, fleet: dict[str, FakeAgent]) -> tuple[Settlement, ...]:
    leases = Leases(
        fleet,
        data_center=DATA_CENTER,
        holder=store.id,
        epoch_above=max(agent.epoch for agent in fleet.values()),
    )
    await leases.acquire(hosts_to_ask(store.journal.unsettled(DATA_CENTER), ()), states_of(fleet))
    return await settle(store, DATA_CENTER, fleet, leases)


def in_a_child(directory: Path, apply_id: str, **deadly: int) -> int:
    """The exit code of a process that runs `start`."""

    def main() -> None:
        run_in_virtual_time(start(directory, apply_id, **deadly))

    child = multiprocessing.get_context("fork").Process(target=main)
    child.start()
    child.join(60)
    assert child.exitcode is not None
    return child.exitcode


@pytest.mark.parametrize(
    "deadly",
    [
        *({"deadly_line": line} for line in range(1, LINES + 1)),
        *({"deadly_effect": one} for one in range(1, 11)),
    ],
    ids=str,
)
def test_killed_anywhere_and_started_again_every_effect_happens_once(
    tmp_path: Path, deadly: dict[str, int]
) -> None:
    assert in_a_child(tmp_path, "a1", **deadly) == -signal.SIGKILL
    assert in_a_child(tmp_path, "a2") == 0

    fleet = make_fleet(2, tmp_path)
    for agent in fleet.values():
        agent.load()
    assert effects_of(fleet) == Counter(ORDER)
    store = open_store(tmp_path / "store.db")
    assert store.journal.unsettled(DATA_CENTER) == ()
    assert [one.state for one in sorted(store.applies.latest(), key=lambda one: one.apply_id)] == [
        "interrupted",
        "achieved",
    ]


@pytest.mark.parametrize("deadly", [{"deadly_line": 9}, {"deadly_line": 10}, {"deadly_effect": 5}], ids=str)
def test_killed_with_its_store_lost_every_effect_happens_once(tmp_path: Path, deadly: dict[str, int]) -> None:
    assert in_a_child(tmp_path, "a1", **deadly) == -signal.SIGKILL
    for path in tmp_path.glob("store.db*"):
        path.unlink()

    assert in_a_child(tmp_path, "a2") == 0  # under another name: the first one's leases have lapsed meanwhile

    fleet = make_fleet(2, tmp_path)
    for agent in fleet.values():
        agent.load()
    assert effects_of(fleet) == Counter(ORDER)


BEGUN = BegunStep("a0", "vm/1#resume", "a0/vm/1#resume", "host/h1", "vm/1", "resume-vm", DATA_CENTER)


def settle_one(bench: Bench, **fields: Any) -> Settlement:
    bench.store.applies.admit("a0", "p", "d", DATA_CENTER, "{}")
    bench.store.journal.begin(BEGUN, 0)

    async def main() -> Settlement:
        if fields:
            (settlement,) = await settle(bench.store, DATA_CENTER, bench.fleet, **fields)
        else:
            (settlement,) = await settle_all(bench.store, bench.fleet)
        return settlement

    return run_in_virtual_time(main())


def ledger(bench: Bench, result: OrderResult) -> None:
    bench.fleet["host/h1"].ledger[BEGUN.key] = Entry("d", "vm/1", result)


def test_a_step_that_had_succeeded_is_found_in_the_ledger(bench: Bench) -> None:
    ledger(bench, OrderResult(BEGUN.key, "succeeded", outputs={"port": 5901}))

    settlement = settle_one(bench)

    assert settlement.fate.outcome.state == "succeeded"
    assert settlement.fate.outcome.outputs == {"port": 5901}
    assert bench.store.journal.unsettled(DATA_CENTER) == ()
    assert bench.store.applies.running() == ()


def test_a_step_whose_order_never_arrived_is_revoked(bench: Bench) -> None:
    settlement = settle_one(bench)

    assert settlement.fate.outcome.state == "failed"
    assert settlement.fate.settled
    assert bench.fleet["host/h1"].ledger[BEGUN.key].result.state == "revoked"


def test_a_step_that_nobody_can_tell_is_revoked_and_unknown(bench: Bench) -> None:
    ledger(bench, OrderResult(BEGUN.key, "unknown", "restarted in the middle"))

    settlement = settle_one(bench)

    assert (settlement.fate.outcome.state, settlement.fate.settled) == ("unknown", True)


def test_a_step_that_still_runs_is_left_alone_and_stays_unsettled(bench: Bench) -> None:
    ledger(bench, OrderResult(BEGUN.key, "running"))

    settlement = settle_one(bench)

    assert (settlement.fate.open, settlement.fate.settled) == (True, False)
    assert bench.store.journal.unsettled(DATA_CENTER) == (BEGUN,)
    assert bench.fleet["host/h1"].ledger[BEGUN.key].result.state == "running"


def test_a_step_of_a_silent_host_stays_unsettled_until_the_host_is_proven_off(bench: Bench) -> None:
    bench.fleet["host/h1"].silent = True

    assert not settle_one(bench).fate.settled
    assert bench.store.journal.unsettled(DATA_CENTER) == (BEGUN,)

    settlements = run_in_virtual_time(settle(bench.store, DATA_CENTER, bench.fleet, proven_off={"host/h1"}))
    assert settlements[0].fate.settled
    assert bench.store.journal.unsettled(DATA_CENTER) == ()


def test_without_a_lease_an_order_that_never_arrived_stays_unsettled(bench: Bench) -> None:
    assert not settle_one(bench, proven_off=()).fate.settled
    assert hosts_to_ask([BEGUN], ()) == ("host/h1",)
    assert hosts_to_ask([BEGUN], {"host/h1"}) == ()


def test_silent_hosts_are_asked_at_once_not_one_after_the_other() -> None:
    fleet, store = make_fleet(3), open_memory_store()
    for number in range(30):
        name = f"vm/{number}#resume"
        host = f"host/h{1 + number % 3}"
        store.journal.begin(
            BegunStep("a0", name, f"a0/{name}", host, f"vm/{number}", "resume-vm", DATA_CENTER), 0
        )
    for agent in fleet.values():
        agent.silent = True

    async def main() -> float:
        await settle(store, DATA_CENTER, fleet)
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) < 10
