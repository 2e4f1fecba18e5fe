"""Guests that stand still: paused by a person through Ostler, behind its back, or by their migration. Who is asked what
to do about it."""

import pytest

from tests.unit.cli.conftest import Desk
from tests.unit.cli.test_the_loop import Loop
from tests.unit.cli.test_vm_commands import record


def suspend(desk: Desk, reason: str = "user") -> None:
    """The guest is paused, and Ostler has no part in it."""
    guest = desk.guest("vm/web-1")
    guest.state, guest.pause_reason = "paused", reason


def go_on(desk: Desk) -> None:
    guest = desk.guest("vm/web-1")
    guest.state, guest.pause_reason = "running", ""


def test_a_guest_that_was_suspended_by_hand_is_drift_with_what_to_do(applied: Desk) -> None:
    applied.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Always\n")
    applied("apply", "-f", "--yes")
    suspend(applied)

    planned, listed = applied("plan", "-f"), applied("get", "vms", "-f")

    assert planned.status == 0, "it is not resumed by itself"
    for said in (planned.out, listed.out):
        assert "paused on host/h1, which nobody asked of Ostler" in said
        assert "`ostler vm resume vm/web-1`" in said
    assert applied("vm", "resume", "web-1", "-f", "--yes").status == 0
    assert applied.guest("vm/web-1").state == "running"
    assert "paused" not in applied("get", "vms", "-f").out


def test_a_watchdog_that_paused_its_guest_is_named(applied: Desk) -> None:
    suspend(applied, "watchdog")

    assert "watchdog" in applied("plan", "-f").out


def test_the_loop_tells_once_of_a_guest_suspended_by_hand(applied: Desk) -> None:
    loop = Loop(applied)
    suspend(applied)

    loop.until(loop.said("drift: vm/web-1: paused on host/h1"))

    assert len([line for line in loop.lines if "drift:" in line]) == 1


def test_what_is_paused_through_ostler_is_no_drift_wherever_it_goes(applied: Desk) -> None:
    applied("vm", "pause", "web-1", "-f", "--yes")
    assert "drift" not in applied("plan", "-f").out
    other = "h2" if applied.where("vm/web-1") == "host/h1" else "h1"

    assert applied("vm", "migrate", "web-1", "--host", other, "-f", "--yes").status == 0

    assert applied.guest("vm/web-1").state == "paused"
    assert "drift" not in applied("plan", "-f").out


def test_a_guest_that_was_paused_again_by_hand_is_drift(applied: Desk) -> None:
    applied("vm", "pause", "web-1", "-f", "--yes")
    applied("vm", "resume", "web-1", "-f", "--yes")
    suspend(applied)

    assert "nobody asked" in applied("plan", "-f").out


@pytest.mark.parametrize("reason", ["io-error", "migration", "starting-up", "snapshot", "save", "dump"])
def test_a_guest_that_goes_on_by_itself_is_no_drift(applied: Desk, reason: str) -> None:
    suspend(applied, reason)

    assert "nobody asked" not in applied("plan", "-f").out


def test_a_guest_halted_by_its_migration_is_not_called_paused(applied: Desk) -> None:
    suspend(applied, "migration")

    result = applied("vm", "pause", "web-1", "-f", "--yes")

    assert (result.status, "paused already" in result.err) == (3, False), result
    assert "noted, and waits: vm/web-1: it is being moved" in result.err
    go_on(applied)
    assert applied("apply", "-f", "--yes").status == 0
    assert applied.guest("vm/web-1").state == "paused"


def test_a_pause_that_was_asked_for_waits_for_the_end_of_a_migration(applied: Desk) -> None:
    applied("vm", "pause", "web-1", "-f", "--yes", "--no-wait")
    suspend(applied, "migration")

    planned = applied("plan", "-f")
    applied("apply", "-f", "--yes")

    assert "vm/web-1: it is being moved" in planned.out
    assert [one.done for one in record(applied).intents] == [False]
    go_on(applied)
    assert applied("apply", "-f", "--yes").status == 0
    assert applied.guest("vm/web-1").state == "paused"
