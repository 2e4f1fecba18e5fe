"""Two data centers from one store, with the same names in both: what is remembered of one never touches the other."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.execution.remembering import MOST_FAILURES
from reconciler.loop import look
from reconciler.planning.basis import all_metas
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.store.store import Store, open_store
from tests.timelines.appliers import SimulatedApplier
from tests.timelines.cases import Timeline, make_timeline
from tests.timelines.manifests import Manifests

OTHER = {
    "apiVersion": "ostler.dev/v1alpha1",
    "kind": "DataCenter",
    "metadata": {"name": "farm"},
    "spec": {"uuid": "99999999-470a-4f03-8386-000000000000"},
}
BASES = ["center", "h1", "web-1"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def lines() -> tuple[Timeline, Timeline]:
    """Two data centers with a host/h1 and a vm/web-1 each."""
    return make_timeline(Manifests(BASES, [])), make_timeline(Manifests(BASES, [OTHER]))


@contextlib.contextmanager
def process(line: Timeline, place: Path) -> Iterator[SimulatedApplier]:
    """An `ostler` that opened the store anew."""
    with contextlib.closing(open_store(place)) as store:
        yield SimulatedApplier("ostler", line.world, line.links, line.manifests.desired, store=store)


def center(line: Timeline) -> str:
    return line.manifests.desired().data_center.uuid


def host(line: Timeline) -> str:
    return line.manifests.desired().hosts["host/h1"].uuid


def test_they_have_the_same_names_and_nothing_else_in_common(lines: tuple[Timeline, Timeline]) -> None:
    one, other = lines

    assert center(one) != center(other)
    assert host(one) != host(other)
    assert one.manifests.desired().vms.keys() == other.manifests.desired().vms.keys()
    assert (
        all_metas(one.manifests.desired())["vm/web-1"].digest
        == all_metas(other.manifests.desired())["vm/web-1"].digest
    )


async def crash(applier: SimulatedApplier, line: int) -> None:
    applier.process.deadly_line = line
    applier.start(applier.apply_once())
    assert applier.process.task is not None
    await applier.process.task
    assert applier.process.dead


def test_an_apply_of_one_does_not_settle_what_a_crashed_apply_of_the_other_left(
    lines: tuple[Timeline, Timeline], place: Path
) -> None:
    one, other = lines

    async def main() -> None:
        with process(one, place) as applier:
            await crash(applier, 1)
            left = applier.store.journal.unsettled(center(one))
            assert [step.host for step in left] == ["host/h1"]
        one.world.cut("host/h1")

        with process(other, place) as applier:
            turn = await applier.apply()
            assert turn.settled == ()
            assert turn.outcome is not None
            assert turn.outcome.achieved, turn.outcome
            assert applier.store.journal.unsettled(center(one)) == left
            assert [apply.state for apply in applier.store.applies.latest()] == ["achieved", "interrupted"]

        one.world.mend("host/h1")
        with process(one, place) as applier:
            turn = await applier.apply()
            assert [found.step for found in turn.settled] == list(left)
            assert applier.store.journal.unsettled(center(one)) == ()

    run_in_virtual_time(main())


def test_the_loop_of_one_leaves_a_running_plan_of_the_other_alone(
    lines: tuple[Timeline, Timeline], place: Path
) -> None:
    one, other = lines
    one.faults.slow["start-vm"] = 20.0

    async def main() -> None:
        with process(one, place) as slow, process(other, place) as quick:
            quick.store = slow.store
            slow.period_s = quick.period_s = 5.0
            slow.start(slow.keep())
            (running,) = await soon(lambda: mine(slow.store, center(one)))
            quick.start(quick.keep())
            await soon(lambda: other.world.hosts["host/h1"].guests)
            await soon(lambda: any("nothing to do" in what for _, _, what in other.world.log))

            assert [found.apply_id for found in mine(slow.store, center(one))] == [running.apply_id]
            assert slow.store.applies.request_stop(running.apply_id, "the loop ends")
            assert not [what for _, who, what in (*one.world.log, *other.world.log) if "settle" in what]
            for applier in (slow, quick):
                assert applier.process.task is not None
                applier.process.task.cancel()
                await asyncio.gather(applier.process.task, return_exceptions=True)

    run_in_virtual_time(main())


def mine(store: Store, data_center: str) -> list:  # type: ignore[type-arg]
    return [one for one in store.applies.running() if one.data_center == data_center]


async def soon(found):  # type: ignore[no-untyped-def]
    """Waits for what comes within ten minutes of virtual time."""
    for _ in range(600):
        if got := found():
            return got
        await asyncio.sleep(1)
    raise AssertionError("it did not come")


def test_failures_and_pauses_of_one_hold_nothing_of_the_other(
    lines: tuple[Timeline, Timeline], place: Path
) -> None:
    one, other = lines

    async def main() -> None:
        with process(one, place) as applier:
            store = applier.store
            digest = all_metas(one.manifests.desired())["vm/web-1"].digest
            for _ in range(MOST_FAILURES):
                store.attempts.failed(center(one), "vm/web-1", digest, "no space")
            store.pauses.pause(center(one), "host/h1", "its fans are changed")
            held = (await look(applier.estate())).plan.blocked
            assert {blocked.object for blocked in held} == {"vm/web-1", "host/h1"}

            elsewhere = SimulatedApplier(
                "ostler", other.world, other.links, other.manifests.desired, store=store
            )
            for _ in range(3):
                turn = await elsewhere.apply()
            assert not turn.done.plan.steps
            assert not turn.done.plan.blocked
            assert other.world.hosts["host/h1"].guests
            assert store.attempts.all(center(one)).keys() == {"vm/web-1"}

    run_in_virtual_time(main())
