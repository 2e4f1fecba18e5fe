"""What a pass hears from its hosts, and what it makes of those that say nothing, no, or too late."""

import asyncio

import pytest

from nodeagent.wire.facts import StorageContents
from reconciler.agentlink.gathering import Gathered, GatherLimits, HostName, clock_skew, gather
from reconciler.agentlink.protocol import AnswerRefusedError, HostUnreachableError, NotAskedError
from reconciler.simulation.clock import run_in_virtual_time
from tests.fakes.fleet import FakeAgent, make_fleet, refuses_to_answer, uuid_of

LOOP = GatherLimits(deadline_ms=3_000, period_ms=5_000)


def names(fleet: dict[str, FakeAgent]) -> list[HostName]:
    return [HostName(name, agent.uuid) for name, agent in fleet.items()]


async def look(
    fleet: dict[str, FakeAgent],
    previous: Gathered | None = None,
    limits: GatherLimits | None = None,
    domains: tuple[str, ...] = (),
) -> Gathered:
    return await gather(fleet, names(fleet), domains, data_center="dc/main", previous=previous, limits=limits)


def once(fleet: dict[str, FakeAgent], *domains: str) -> tuple[Gathered, float]:
    """A single command's look, and the virtual seconds that it took."""

    async def main() -> tuple[Gathered, float]:
        found = await look(fleet, domains=domains)
        return found, asyncio.get_running_loop().time()

    return run_in_virtual_time(main())


def statuses(gathered: Gathered) -> dict[str, str]:
    return {report.host: report.status for report in gathered.reports.hosts}


def test_hosts_that_answer_are_reported_with_state_and_statistics() -> None:
    fleet = make_fleet(2)

    gathered, seconds = once(fleet)

    report = gathered.reports.hosts[0]
    assert (report.host, report.uuid, report.status, report.age_ms) == ("host/h1", uuid_of(1), "answering", 0)
    assert report.state is not None
    assert report.statistics is not None
    assert seconds < 0.1


def test_one_stuck_host_delays_nobody_beyond_the_deadline_and_counts_as_silent_after_the_grace() -> None:
    fleet = make_fleet(50)
    fleet["host/h7"].silent = True

    gathered, seconds = once(fleet)

    assert statuses(gathered).pop("host/h7") == "silent"
    assert set(statuses(gathered).values()) == {"answering", "silent"}
    assert 10 <= seconds <= 12.1
    assert fleet["host/h7"].log.count("state") > 1  # one lost packet is no silence


def test_a_host_that_refuses_is_not_silent_and_is_not_waited_for() -> None:
    fleet = make_fleet(1)
    fleet["host/h1"].fault = refuses_to_answer()

    gathered, seconds = once(fleet)

    assert statuses(gathered) == {"host/h1": "refused"}
    assert gathered.reports.hosts[0].detail == "its certificate has expired"
    assert seconds < 1


def test_an_agent_that_has_just_begun_is_asked_again() -> None:
    fleet = make_fleet(1)
    agent = fleet["host/h1"]
    agent.fault = AnswerRefusedError("status 503", passing=True)

    async def main() -> Gathered:
        looking = asyncio.create_task(look(fleet))
        await asyncio.sleep(2)
        agent.fault = None
        return await looking

    assert statuses(run_in_virtual_time(main())) == {"host/h1": "answering"}


def test_a_host_that_answers_on_the_second_try_is_answering() -> None:
    fleet = make_fleet(1)
    fleet["host/h1"].silent = True

    async def main() -> Gathered:
        looking = asyncio.create_task(look(fleet))
        await asyncio.sleep(2.5)
        fleet["host/h1"].silent = False
        return await looking

    assert statuses(run_in_virtual_time(main())) == {"host/h1": "answering"}


def test_our_own_fault_says_nothing_about_a_host() -> None:
    fleet = make_fleet(1)
    fleet["host/h1"].fault = NotAskedError("the address cannot be resolved here")

    assert statuses(once(fleet)[0]) == {"host/h1": "unknown"}


def test_a_host_without_a_link_is_unknown() -> None:
    fleet = make_fleet(1)

    async def main() -> Gathered:
        return await gather({}, names(fleet), (), data_center="dc/main")

    assert statuses(run_in_virtual_time(main())) == {"host/h1": "unknown"}


def test_a_process_that_was_stopped_does_not_take_its_own_absence_for_silence() -> None:
    """One attempt that took a minute of the clock counts for no more than its limit."""
    fleet = make_fleet(1)
    agent = fleet["host/h1"]

    async def main() -> Gathered:
        agent.silent = True
        looking = asyncio.create_task(look(fleet))
        await asyncio.sleep(0.5)
        asyncio.get_running_loop()._leap.now_s += 60  # type: ignore[attr-defined]
        agent.silent = False
        return await looking

    assert statuses(run_in_virtual_time(main())) != {"host/h1": "silent"}


def test_without_news_the_state_of_the_last_pass_still_counts() -> None:
    fleet = make_fleet(1)

    async def main() -> Gathered:
        first = await look(fleet, limits=LOOP)
        await asyncio.sleep(5)
        second = await look(fleet, first, LOOP)
        assert second.reports.hosts[0].state is first.reports.hosts[0].state
        assert second.reports.hosts[0].age_ms == 0
        assert second.reports.hosts[0].clock_age_ms >= 5_000
        return second

    assert statuses(run_in_virtual_time(main())) == {"host/h1": "answering"}


def test_a_host_falls_silent_over_passes_once_the_grace_has_run() -> None:
    fleet = make_fleet(1)

    async def main() -> list[str]:
        seen, previous = [], await look(fleet, limits=LOOP)
        fleet["host/h1"].fault = HostUnreachableError("connection refused")
        for _ in range(5):
            await asyncio.sleep(4)
            previous = await look(fleet, previous, LOOP)
            seen.append(previous.reports.hosts[0].status)
        return seen

    seen = run_in_virtual_time(main())
    assert seen[0] == "answering"
    assert seen[-1] == "silent"
    assert seen == sorted(seen, key=["answering", "unknown", "silent"].index)


def test_after_a_late_pass_the_grace_runs_anew() -> None:
    fleet = make_fleet(1)
    fleet["host/h1"].fault = HostUnreachableError("connection refused")

    async def main() -> tuple[str, str]:
        previous = None
        for _ in range(5):
            previous = await look(fleet, previous, LOOP)
            await asyncio.sleep(4)
        assert previous is not None
        before = previous.reports.hosts[0].status
        await asyncio.sleep(60)
        after = await look(fleet, previous, LOOP)
        return before, after.reports.hosts[0].status

    assert run_in_virtual_time(main()) == ("silent", "unknown")


DOMAIN = uuid_of(0x5D)


def contents() -> StorageContents:
    return StorageContents(DOMAIN, master=True, complete=True)


def test_a_storage_domain_is_read_by_the_lowest_host_that_has_it_active() -> None:
    fleet = make_fleet(3)
    fleet["host/h2"].storage_domains[DOMAIN] = fleet["host/h3"].storage_domains[DOMAIN] = contents()

    (report,) = once(fleet, DOMAIN)[0].reports.storage

    assert (report.uuid, report.reader, report.contents) == (DOMAIN, "host/h2", contents())
    assert "storage" not in fleet["host/h3"].log


def test_the_next_host_reads_a_domain_that_the_first_cannot() -> None:
    fleet = make_fleet(2)
    fleet["host/h1"].storage_domains[DOMAIN] = AnswerRefusedError("I/O error")
    fleet["host/h2"].storage_domains[DOMAIN] = contents()

    assert once(fleet)[0].reports.storage[0].reader == "host/h2"  # active somewhere: wanted or not


def test_a_reader_that_hangs_leaves_time_for_the_next() -> None:
    fleet = make_fleet(2)
    for agent in fleet.values():
        agent.storage_domains[DOMAIN] = contents()

    async def main() -> Gathered:
        looking = asyncio.create_task(look(fleet))
        await asyncio.sleep(0.0015)
        fleet["host/h1"].silent = True
        return await looking

    gathered = run_in_virtual_time(main())
    assert gathered.reports.storage[0].reader == "host/h2"


@pytest.mark.parametrize("active", [True, False])
def test_a_domain_that_nobody_can_read_has_no_contents(active: bool) -> None:
    fleet = make_fleet(1)
    if active:
        fleet["host/h1"].storage_domains[DOMAIN] = AnswerRefusedError("I/O error")

    (report,) = once(fleet, DOMAIN)[0].reports.storage

    assert (report.reader, report.contents) == (None, None)
    assert report.detail == ("I/O error" if active else "no answering host has it active")


@pytest.mark.parametrize(
    ("theirs", "ahead"), [(1_000, 0), (1_500, 0), (2_000, 0), (2_100, 100), (900, -100), (-9_000, -10_000)]
)
def test_clocks_differ_by_what_the_time_of_the_answer_cannot_explain(theirs: int, ahead: int) -> None:
    assert clock_skew(theirs, asked_ms=1_000, answered_ms=2_000) == ahead
