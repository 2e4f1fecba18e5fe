"""`ostler run`: data centers are kept as declared, intents are taken up, and the end leaves nothing half done."""

import asyncio
import re
import signal
from collections.abc import Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nodeagent.wire.records import Intent
from reconciler.asked import BEHIND, answer_unplanned
from reconciler.cli.secrets import secrets_from
from reconciler.cli.sources import Center, WatchedManifests
from reconciler.cli.turns import TurnLog
from reconciler.execution.remembering import pause_ms
from reconciler.execution.run import Applier
from reconciler.keeping import Keeper, Means
from reconciler.model.change import Deferred
from reconciler.model.plan import Plan
from reconciler.pausing import Pace
from reconciler.pki.authority import DIGEST_KEY_FILE
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.simulation.link import link_fleet
from reconciler.store.requests import Request
from tests.unit.cli.conftest import Desk

CENTER = "58cfb470-02f3-03d7-0386-0000000003bc"


TWO = """apiVersion: ostler.dev/v1alpha1
kind: VirtualMachine
metadata: {name: two}
spec: {cluster: main, memory: 256Mi}
"""


class Loop:
    """The loop over a desk's manifests, with what it said."""

    def __init__(self, desk: Desk, secrets: Path | None = None) -> None:
        self.desk = desk
        self.lines: list[str] = []
        self.store = desk.store()
        log = TurnLog(self.lines.append)

        @asynccontextmanager
        async def connect(_desired: Any):  # type: ignore[no-untyped-def]
            yield link_fleet(desk.world, desk.faults)

        applier = Applier(
            "ostler@loop",
            (desk.home / "controller" / DIGEST_KEY_FILE).read_bytes(),
            secrets_from(secrets),
        )
        self.means = Means(self.store, applier, connect, log.tell, self.lines.append, Pace())
        manifests = WatchedManifests([str(desk.manifests)], lambda found: self.lines.extend(map(str, found)))
        self.keeper = Keeper(Center(manifests, "dc/farm"), self.means)

    def until(self, *conditions: Callable[[], Any], limit_s: float = 600) -> None:
        """Runs the loop, in virtual time, until each condition has held in its turn; then stops it."""

        async def main() -> None:
            task = asyncio.create_task(self.keeper.keep())
            async with asyncio.timeout(limit_s):
                for condition in conditions:
                    while not condition():
                        assert not task.done() or task.result() is None
                        await asyncio.sleep(0.1)
            self.keeper.stop()
            await task

        run_in_virtual_time(main())
        self.store.close()

    def said(self, text: str) -> Callable[[], bool]:
        return lambda: any(text in line for line in self.lines)


def test_what_is_declared_is_made_and_kept(desk: Desk) -> None:
    loop = Loop(desk)

    def destroy() -> bool:
        desk.world.hosts[str(desk.where("vm/web-1"))].lose_guest(
            desk.guest("vm/web-1").config.uuid, "destroyed"
        )
        return True

    loop.until(lambda: desk.where("vm/web-1"), destroy, lambda: desk.where("vm/web-1"))

    assert desk.guest("vm/web-1").config.run == 2


def test_changed_manifests_are_read_again(desk: Desk) -> None:
    loop = Loop(desk)

    def stop() -> bool:
        desk.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Stopped\n")
        return True

    loop.until(lambda: desk.where("vm/web-1"), stop, lambda: desk.where("vm/web-1") is None)


def test_manifests_with_errors_are_told_and_the_last_good_ones_are_kept(desk: Desk) -> None:
    loop = Loop(desk)

    def spoil() -> bool:
        desk.declare("web-1.yaml", "kind: [")
        return True

    def destroy() -> bool:
        desk.world.hosts[str(desk.where("vm/web-1"))].lose_guest(
            desk.guest("vm/web-1").config.uuid, "destroyed"
        )
        return True

    loop.until(
        lambda: desk.where("vm/web-1"),
        spoil,
        loop.said("web-1.yaml"),
        destroy,
        lambda: desk.where("vm/web-1"),
    )


def test_the_log_says_when_manifests_broke_and_that_the_last_good_ones_count(
    applied: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    real = asyncio.run

    def spoiled(main: Any) -> Any:
        async def both() -> Any:
            loop = asyncio.get_running_loop()
            loop.call_later(3, applied.declare, "web-1.yaml", "kind: [")
            loop.call_later(6, signal.raise_signal, signal.SIGTERM)
            return await main

        return real(both())

    asyncio.run = spoiled  # type: ignore[assignment]  # the fixture puts the real one back
    lines = applied("run", "-f").err.splitlines()

    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d "
    assert [line for line in lines if re.match(f"{stamp}.*web-1.yaml:2:1: error", line)]
    assert [line for line in lines if re.match(f"{stamp}the last good manifests stay in force$", line)]


def test_a_quiet_loop_says_nothing_twice(applied: Desk) -> None:
    applied.change("web-1.yaml", "size: 10Gi", "size: 5Gi")
    loop, passes = Loop(applied), []
    tell = loop.means.tell
    object.__setattr__(loop.means, "tell", lambda turn: (passes.append(turn), tell(turn)))

    loop.until(lambda: len(passes) > 5)

    assert len([line for line in loop.lines if "blocked" in line]) == 1


def test_a_intent_that_was_left_is_taken_up_and_answered(applied: Desk) -> None:
    loop = Loop(applied)
    intent = Intent("11111111-1111-4111-8111-111111111111", "stop", run=1)

    def leave() -> bool:
        loop.store.requests.leave(CENTER, "vm/web-1", intent)
        return True

    def state() -> str:
        found = loop.store.requests.find(intent.id)
        return found.state if found else ""

    states: list[str] = []
    loop.until(leave, lambda: states.append(state()) or states[-1] == "done")

    assert applied.where("vm/web-1") is None


@pytest.mark.parametrize(
    ("intent", "why"),
    [
        (Intent("11111111-1111-4111-8111-111111111111", "start", run=1), "runPolicy: Stopped"),
        (Intent("11111111-1111-4111-8111-111111111111", "migrate", host="host/h9", run=1), "host/h9"),
    ],
)
def test_a_intent_that_the_manifests_forbid_is_refused(applied: Desk, intent: Intent, why: str) -> None:
    applied.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Stopped\n")
    loop = Loop(applied)
    loop.store.requests.leave(CENTER, "vm/web-1", intent)
    found: list[Any] = []

    loop.until(
        lambda: (
            found.append(loop.store.requests.find(intent.id)) or found[-1].state not in ("waiting", "taken")
        )
    )

    assert found[-1].state == "refused"
    assert why in found[-1].detail


def test_an_intent_is_taken_as_soon_as_it_is_written_however_long_it_lasts(applied: Desk) -> None:
    applied.faults.slow["stop-vm"] = 30
    loop, intent = Loop(applied), Intent("11111111-1111-4111-8111-111111111111", "stop", run=1)
    loop.store.requests.leave(CENTER, "vm/web-1", intent)

    loop.until(lambda: (found := loop.store.requests.find(intent.id)) and found.state == "taken")

    assert not loop.said("stop")()
    found = Loop(applied).store.requests.find(intent.id)
    assert found is not None
    assert found.state == "done"


def test_an_intent_about_a_vm_of_a_plan_under_way_waits_for_it_and_is_told(applied: Desk) -> None:
    applied.faults.slow["stop-vm"] = 10
    applied.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Manual\n")
    loop = Loop(applied)
    stop = Intent("11111111-1111-4111-8111-111111111111", "stop", run=1)
    start = Intent("22222222-2222-4222-8222-222222222222", "start", run=1)
    loop.store.requests.leave(CENTER, "vm/web-1", stop)

    def found(intent: Intent) -> Request:
        one = loop.store.requests.find(intent.id)
        assert one is not None
        return one

    loop.until(
        lambda: found(stop).state == "taken",
        lambda: loop.store.requests.leave(CENTER, "vm/web-1", start) or True,
        lambda: (found(start).state, found(start).detail) == ("waiting", BEHIND),
        lambda: found(start).state == "done",
    )

    assert applied.where("vm/web-1") is not None


@pytest.mark.parametrize("run", [1, 2], ids=["made before the move", "made while it moves"])
def test_a_stop_that_waits_for_a_move_is_done_after_it(applied: Desk, run: int) -> None:
    applied.faults.slow["migrate-vm"] = 3
    here = str(applied.where("vm/web-1"))
    name = here.removeprefix("host/")
    applied.change(f"{name}.yaml", "spec: {", "spec: {maintenance: true, ")
    loop, stop = Loop(applied), Intent("11111111-1111-4111-8111-111111111111", "stop", run=run)

    def asked() -> Request:
        found = loop.store.requests.find(stop.id)
        assert found is not None
        return found

    loop.until(
        lambda: _moves(applied),
        lambda: loop.store.requests.leave(CENTER, "vm/web-1", stop) or True,
        lambda: (asked().state, bool(asked().detail)) == ("waiting", True),
        lambda: asked().state in ("done", "refused"),
    )

    assert (asked().state, asked().detail) == ("done", "")
    assert applied.where("vm/web-1") is None


def _moves(desk: Desk) -> bool:
    """Whether the guest arrives somewhere just now."""
    return any(
        guest.state == "incoming" for host in desk.world.hosts.values() for guest in host.guests.values()
    )


def test_an_intent_hears_that_it_is_done_while_its_plan_goes_on(applied: Desk) -> None:
    applied.faults.slow["start-vm"] = 100
    applied.declare("two.yaml", TWO)
    loop, intent = Loop(applied), Intent("11111111-1111-4111-8111-111111111111", "reboot", run=1)
    loop.store.requests.leave(CENTER, "vm/web-1", intent)

    def done() -> bool:
        found = loop.store.requests.find(intent.id)
        return found is not None and found.state == "done" and applied.where("vm/two") is None

    loop.until(done)


def test_an_intent_for_which_only_time_is_needed_waits(applied: Desk) -> None:
    loop, intent = Loop(applied), Intent("11111111-1111-4111-8111-111111111111", "stop", run=1)
    waits = Deferred("vm/web-1", "order migrate-vm is running on host/h1", "it has ended")
    turn: Any = SimpleNamespace(done=SimpleNamespace(plan=Plan("test", "dc/farm", CENTER, deferred=(waits,))))
    loop.store.requests.leave(CENTER, "vm/web-1", intent)

    answer_unplanned(loop.store, turn, loop.store.requests.open(CENTER))

    found = loop.store.requests.find(intent.id)
    assert found is not None
    assert (found.state, "migrate-vm is running" in found.detail) == ("waiting", True)


def test_what_fails_is_tried_ever_more_rarely(applied: Desk) -> None:
    applied.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Stopped\n")
    applied.faults.failing = {(host, "stop-vm"): 99 for host in applied.world.hosts}
    loop, times = Loop(applied), []
    tell = loop.means.tell

    def note(turn: Any) -> None:
        if turn.outcome is not None and turn.outcome.steps:
            times.append(asyncio.get_running_loop().time())
        tell(turn)

    object.__setattr__(loop.means, "tell", note)
    loop.until(lambda: len(times) >= 4)

    gaps = [round(later - earlier) for earlier, later in pairwise(times)]
    assert gaps[0] < gaps[1] < gaps[2]


def test_the_pause_between_failing_passes_is_bounded() -> None:
    assert [pause_ms(number) for number in (1, 2, 3)] == [5_000, 10_000, 20_000]
    assert pause_ms(1000) == 300_000


def test_nothing_is_done_while_everything_is_paused(desk: Desk) -> None:
    desk("pause", "--all", "--reason", "moving house")
    loop = Loop(desk)

    loop.until(loop.said("moving house"), lambda: asyncio.get_running_loop().time() > 60)

    assert not desk.world.storage


def test_once_is_one_pass_with_the_status_of_apply(desk: Desk) -> None:
    assert desk("run", "-f", "--once").status == 0
    assert desk.where("vm/web-1") is not None
    desk.change("web-1.yaml", "size: 10Gi", "size: 5Gi")
    assert desk("run", "-f", "--once").status == 3
    desk.change("web-1.yaml", "size: 5Gi", "size: 10Gi")
    desk.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Stopped\n")
    desk.faults.failing = {(host, "stop-vm"): 1 for host in desk.world.hosts}
    assert desk("run", "-f", "--once").status == 4


def test_sigterm_lets_running_steps_finish_and_starts_no_more(desk: Desk) -> None:
    real = asyncio.run

    def interrupted(main: Any) -> Any:
        async def both() -> Any:
            asyncio.get_running_loop().call_later(1.2, signal.raise_signal, signal.SIGTERM)
            return await main

        return real(both())

    asyncio.run = interrupted  # type: ignore[assignment]  # the fixture puts the real one back
    result = desk("run", "-f")

    assert result.status == 0
    assert "ending" in result.err
    store = desk.store()
    assert not any(store.journal.unsettled(center) for center in store.centers.all())
    assert not store.applies.running()
    store.close()
    assert desk.where("vm/web-1") is None


def test_a_store_that_is_in_use_is_refused_with_the_name_of_its_user(desk: Desk) -> None:
    store = desk.store()
    with store.exclusive("ostler run"):
        for arguments in (("run", "-f"), ("apply", "-f", "--yes")):
            result = desk(*arguments)
            assert (result.status, "`ostler run` (process" in result.err) == (5, True)
    store.close()
