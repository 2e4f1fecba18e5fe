"""Asks a whole fleet what there is: state and statistics of every host, contents of every storage domain.

Commands call it once, the loop once a pass; the result is what `observing.assemble` reads. One stuck host delays
nobody beyond the limits. Ages and statuses come from the event loop's monotonic clock.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from nodeagent.wire.facts import HostState, HostStatistics
from reconciler.agentlink.protocol import (
    AgentLink,
    AgentLinkError,
    AnswerRefusedError,
    Fleet,
    HostUnreachableError,
    NotAskedError,
)
from reconciler.model.reports import HostOffProof, HostReport, HostStatus, Reports, StorageReport

T = TypeVar("T")
Wallclock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class GatherLimits:
    """Milliseconds. grace: how long a host may be unheard while somebody listens before it counts as silent.

    deadline: how long a pass waits for hosts, and again for storage. attempt: for one question. retry: between two.
    period: of the loop's passes, None for a single command; after a gap of two periods the grace runs anew.
    """

    grace_ms: int = 10_000
    deadline_ms: int = 12_000
    storage_ms: int = 30_000
    attempt_ms: int = 3_000
    retry_ms: int = 500
    period_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of one host between passes. at_s: when its state was last received, in the loop's time.

    read_s: when the document itself came; later answers said that it is still the same, and not what its clocks show.
    skew_ms: by how much its wall clock then was ahead of ours; None if we have none.
    listened_ms: how long somebody listened to it in vain since then.
    """

    state: HostState | None = None
    statistics: HostStatistics | None = None
    at_s: float = 0.0
    listened_ms: int = 0
    read_s: float = 0.0
    skew_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """Reports, and what the next pass needs to tell ages: the loop's time and what was heard by host id."""

    reports: Reports
    at_s: float = 0.0
    heard: Mapping[str, Heard] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostName:
    """A host to ask: its object id and uuid."""

    id: str
    uuid: str


async def gather(
    fleet: Fleet,
    hosts: Sequence[HostName],
    domains: Collection[str],
    *,
    data_center: str,
    previous: Gathered | None = None,
    proofs: Iterable[HostOffProof] = (),
    limits: GatherLimits | None = None,
    wallclock: Wallclock | None = None,
) -> Gathered:
    """Reports of all hosts, and of the storage domains named and of those that any host has active.

    `data_center`: its object id. wallclock: our own, in ms, to compare those of the agents with. A host without a link is unknown. Never raises for what hosts do.
    """
    limits = limits or GatherLimits()
    now = asyncio.get_running_loop().time()
    known = _still_listening(previous, now, limits)
    asked = [
        _ask_host(fleet.get(host.id), host, known.get(host.id, Heard()), limits, wallclock) for host in hosts
    ]
    answers = await asyncio.gather(*asked)
    reports = tuple(report for report, _ in answers)
    storage = await _read_storage(fleet, reports, domains, limits)
    return Gathered(
        Reports(data_center, reports, storage, tuple(proofs), wallclock() if wallclock else None),
        now,
        {host.id: heard for host, (_, heard) in zip(hosts, answers, strict=True)},
    )


def _still_listening(previous: Gathered | None, now_s: float, limits: GatherLimits) -> dict[str, Heard]:
    """What the last pass heard. After a gap nobody was listened to, and the time spent listening begins anew."""
    if previous is None:
        return {}
    since_ms = _ms(now_s - previous.at_s)
    gap = limits.period_ms is None or since_ms > 2 * limits.period_ms
    return {
        host: replace(heard, listened_ms=0 if gap or not heard.listened_ms else heard.listened_ms + since_ms)
        for host, heard in previous.heard.items()
    }


async def _ask_host(
    link: AgentLink | None, host: HostName, heard: Heard, limits: GatherLimits, wallclock: Wallclock | None
) -> tuple[HostReport, Heard]:
    """One host's report. Asks again until it answers, counts as silent, or the deadline has come."""
    if link is None:
        return HostReport(host.id, host.uuid, "unknown", detail="no agent's address is known for it"), heard
    loop = asyncio.get_running_loop()
    begin = loop.time()
    while True:
        asked_at = loop.time()
        try:
            heard = await _ask_once(link, heard, limits, wallclock)
        except AgentLinkError as error:
            fault, spent_ms = error, _ms(loop.time() - asked_at)
        else:
            return _report(host, heard, "answering", "", loop.time()), heard
        # A process that was stopped in the middle heard nothing: no attempt counts for more than its limit.
        heard = replace(heard, listened_ms=heard.listened_ms + min(spent_ms, limits.attempt_ms))
        status = status_after(fault, heard, _age_ms(heard, loop.time()), limits)
        left_ms = limits.deadline_ms - _ms(loop.time() - begin)
        if left_ms <= limits.retry_ms or not _worth_asking_again(fault, status):
            return _report(host, heard, status, str(fault), loop.time()), heard
        await asyncio.sleep(limits.retry_ms / 1000)
        heard = replace(heard, listened_ms=heard.listened_ms + limits.retry_ms)


async def _ask_once(
    link: AgentLink, heard: Heard, limits: GatherLimits, wallclock: Wallclock | None
) -> Heard:
    """State and statistics; without statistics a host is still a host. Raises AgentLinkError."""
    answer, statistics = await asyncio.gather(
        _limited(_read_state(link, heard, wallclock), limits.attempt_ms),
        _limited(link.statistics(), limits.attempt_ms),
        return_exceptions=True,
    )
    if isinstance(answer, BaseException):
        raise answer
    if isinstance(statistics, BaseException) and not isinstance(statistics, AgentLinkError):
        raise statistics
    return replace(answer, statistics=None if isinstance(statistics, BaseException) else statistics)


async def _read_state(link: AgentLink, heard: Heard, wallclock: Wallclock | None) -> Heard:
    """What is known of a host with the state that it gives now. Raises AgentLinkError."""
    loop = asyncio.get_running_loop()
    asked_ms = wallclock() if wallclock else None
    state = await link.state(heard.state)
    now_s = loop.time()
    if state is None:
        return Heard(heard.state, None, now_s, read_s=heard.read_s, skew_ms=heard.skew_ms)
    if wallclock is None or asked_ms is None:
        return Heard(state, None, now_s, read_s=now_s)
    skew_ms = clock_skew(state.wallclock_ms, asked_ms, wallclock())
    return Heard(state, None, now_s, read_s=now_s, skew_ms=skew_ms)


def clock_skew(theirs_ms: int, asked_ms: int, answered_ms: int) -> int:
    """By how many ms another clock is ahead of ours at least: it was read some time between question and answer."""
    if theirs_ms < asked_ms:
        return theirs_ms - asked_ms
    return max(0, theirs_ms - answered_ms)


def status_after(fault: AgentLinkError, heard: Heard, age_ms: int, limits: GatherLimits) -> HostStatus:
    """What a fault makes of a host: refused if it said no; else answering while its last state is younger than
    the grace, silent once somebody has listened for the grace in vain, and until then unknown."""
    if isinstance(fault, AnswerRefusedError):
        return "refused"
    if heard.state is not None and age_ms <= limits.grace_ms:
        return "answering"
    if isinstance(fault, NotAskedError) or heard.listened_ms < limits.grace_ms:
        return "unknown"
    return "silent"


def _worth_asking_again(fault: AgentLinkError, status: HostStatus) -> bool:
    """Whether time may still change the verdict."""
    if isinstance(fault, AnswerRefusedError):
        return fault.passing
    return status == "unknown" and not isinstance(fault, NotAskedError)


def _report(host: HostName, heard: Heard, status: HostStatus, detail: str, now_s: float) -> HostReport:
    age_ms = _age_ms(heard, now_s)
    clock_age_ms = _ms(now_s - heard.read_s) if heard.state is not None else 0
    clocks = (clock_age_ms, heard.skew_ms)
    return HostReport(host.id, host.uuid, status, age_ms, detail, heard.state, heard.statistics, *clocks)


async def _read_storage(
    fleet: Fleet, reports: Sequence[HostReport], domains: Collection[str], limits: GatherLimits
) -> tuple[StorageReport, ...]:
    """Every domain from one host each, all at once."""
    readers = readers_of(reports)
    wanted = sorted({*domains, *readers})
    return tuple(
        await asyncio.gather(*(_read_domain(fleet, uuid, readers.get(uuid, ()), limits) for uuid in wanted))
    )


def readers_of(reports: Iterable[HostReport]) -> dict[str, tuple[str, ...]]:
    """For each storage domain the answering hosts that have it active, lowest id first."""
    found: dict[str, list[str]] = {}
    for report in reports:
        if report.status != "answering" or report.state is None:
            continue
        for domain in report.state.storage:
            if domain.state == "active":
                found.setdefault(domain.uuid, []).append(report.host)
    return {uuid: tuple(sorted(hosts)) for uuid, hosts in sorted(found.items())}


async def _read_domain(
    fleet: Fleet, uuid: str, readers: Sequence[str], limits: GatherLimits
) -> StorageReport:
    """The contents from the first reader that can; the reason if none can within the limit."""
    loop = asyncio.get_running_loop()
    end = loop.time() + limits.storage_ms / 1000
    detail = "no answering host has it active"
    for reader in readers:
        left_ms = _ms(end - loop.time())
        if left_ms <= 0:
            break
        try:
            # A reader that hangs must leave time for the next one.
            contents = await _limited(fleet[reader].storage(uuid), max(left_ms // 2, min(left_ms, 1000)))
        except AgentLinkError as error:
            detail = str(error)
        else:
            return StorageReport(uuid, reader, contents=contents)
    return StorageReport(uuid, None, detail)


async def _limited(question: Coroutine[Any, Any, T], limit_ms: int) -> T:
    """An answer within the limit. Raises HostUnreachableError after it."""
    try:
        async with asyncio.timeout(limit_ms / 1000):
            return await question
    except TimeoutError as error:
        raise HostUnreachableError(f"no answer within {limit_ms} ms") from error


def _age_ms(heard: Heard, now_s: float) -> int:
    return _ms(now_s - heard.at_s) if heard.state is not None else 0


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
