"""While hosts are asked, a terminal shows who has not answered; the answers are what they are."""

import asyncio

import pytest

from reconciler.agentlink.protocol import AnswerRefusedError, HostUnreachableError
from reconciler.cli.attendance import Attendance, looking
from tests.unit.cli.conftest import Desk


class Agent:
    """Answers as told: a state, or an error. It can do one more thing."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    async def state(self, known: object = None, *, fresh: bool = False) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def storage(self, uuid: str) -> str:
        return f"contents of {uuid}"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ask(attendance: Attendance) -> list[object]:
    async def every() -> list[object]:
        return await asyncio.gather(
            *(link.state() for link in attendance.fleet.values()), return_exceptions=True
        )

    return asyncio.run(every())


def test_who_has_not_answered_is_named_until_the_grace_is_over(clock: Clock) -> None:
    silent = HostUnreachableError("no answer")
    attendance = Attendance(
        {"host/h1": Agent("up"), "host/h2": Agent(AnswerRefusedError("expired")), "host/h3": Agent(silent)},  # type: ignore[dict-item]
        clock,
    )
    assert attendance.line() == "asking 3 hosts"
    ask(attendance)
    clock.now = 1.0
    assert attendance.line() == "asking 3 hosts"
    clock.now = 4.0
    assert attendance.line() == "host/h3 has not answered yet, waiting up to 10 s (4 s)"
    clock.now = 11.0
    assert attendance.line() == "host/h3 has not answered, reading storage"


def test_when_all_have_answered_nobody_is_waited_for(clock: Clock) -> None:
    attendance = Attendance({"host/h1": Agent("up")}, clock)  # type: ignore[dict-item]
    clock.now = 3.0
    assert "host/h1 has not answered yet" in attendance.line()

    ask(attendance)

    assert attendance.line() == "all hosts have answered, reading storage"


def test_the_links_answer_as_before(clock: Clock) -> None:
    fault = HostUnreachableError("no answer")
    attendance = Attendance({"host/h1": Agent("up"), "host/h2": Agent(fault)}, clock)  # type: ignore[dict-item]

    assert ask(attendance) == ["up", fault]
    assert asyncio.run(attendance.fleet["host/h1"].storage("x")) == "contents of x"  # type: ignore[comparison-overlap]


def test_without_a_terminal_nothing_is_said_and_nothing_is_wrapped(applied: Desk) -> None:
    fleet = {"host/h1": Agent("up")}
    with looking(fleet) as asked:  # type: ignore[arg-type]
        assert asked is fleet

    assert applied("plan", "-f").err == ""


@pytest.mark.parametrize("command", [("plan", "-f"), ("get", "vms", "-f"), ("apply", "-f", "--yes")])
def test_on_a_terminal_commands_end_as_elsewhere(
    applied: Desk, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    applied.world.hosts[str(applied.where("vm/web-1"))].reachable = False
    plain = applied(*command)
    monkeypatch.setenv("FORCE_COLOR", "1")

    shown = applied(*command)

    assert (shown.status, shown.out) == (plain.status, plain.out)
    assert "asking 2 hosts" in shown.err
