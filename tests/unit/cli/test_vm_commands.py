"""`ostler vm`: what a person asks of one VM is written down, done once, and nothing else is."""

import asyncio
from dataclasses import replace

import pytest

from nodeagent.wire.orders import OrderResult
from reconciler.simulation.host import LedgerEntry
from reconciler.simulation.storage import SimulatedStorage
from tests.unit.cli.conftest import Desk

TWO = """apiVersion: ostler.dev/v1alpha1
kind: VirtualMachine
metadata: {{name: two}}
spec: {{cluster: main, memory: 256Mi, runPolicy: Manual, disks: {disks}}}
"""


def master(desk: Desk) -> SimulatedStorage:
    return next(one for one in desk.world.storage.values() if one.master)


def record(desk: Desk):  # type: ignore[no-untyped-def]
    return next(one for one in master(desk).vms.values() if one.object == "vm/web-1")


def test_a_vm_is_stopped_and_stays_down(applied: Desk) -> None:
    assert applied("vm", "stop", "web-1", "-f", "--yes").status == 0
    assert applied.where("vm/web-1") is None
    assert applied("apply", "-f", "--yes").status == 0
    assert applied.where("vm/web-1") is None


def test_a_stopped_vm_is_started(applied: Desk) -> None:
    applied("vm", "stop", "web-1", "-f", "--yes")

    result = applied("vm", "start", "vm/web-1", "-f", "--yes")

    assert result.status == 0
    assert "vm/web-1 runs" in result.err
    assert applied.where("vm/web-1") is not None


def test_a_start_that_must_wait_is_not_called_done(applied: Desk) -> None:
    """Its disk is still with a guest that cannot let go of it before its next start."""
    applied("vm", "stop", "web-1", "-f", "--yes")
    applied.change("web-1.yaml", "[{disk: web-1-root}]", "[{disk: web-1-root, bus: sata}]")
    applied.declare("two.yaml", TWO.format(disks="[]"))
    applied("vm", "start", "web-1", "-f", "--yes")
    assert applied("apply", "-f", "--yes").status == 0
    applied.change("web-1.yaml", "[{disk: web-1-root, bus: sata}]", "[]")
    applied.declare("two.yaml", TWO.format(disks="[{disk: web-1-root}]"))

    result = applied("vm", "start", "two", "-f", "--yes")

    assert (result.status, "vm/two runs" in result.err) == (3, False), result
    assert "noted, and waits: vm/two" in result.err
    assert applied.where("vm/two") is None


def test_a_vm_is_restarted_once(applied: Desk) -> None:
    started = applied.guest("vm/web-1").config.run

    assert applied("vm", "reboot", "web-1", "-f", "--yes").status == 0
    assert applied.guest("vm/web-1").config.run == started + 1
    assert applied("plan", "-f").status == 0


def test_a_vm_is_paused_and_goes_on(applied: Desk) -> None:
    assert applied("vm", "pause", "web-1", "-f", "--yes").status == 0
    assert applied.guest("vm/web-1").state == "paused"
    assert applied("plan", "-f").status == 0
    assert applied("vm", "resume", "web-1", "-f", "--yes").status == 0
    assert applied.guest("vm/web-1").state == "running"
    assert applied("plan", "-f").status == 0


def test_a_pause_that_is_done_does_not_fight_with_whoever_resumes_the_guest(applied: Desk) -> None:
    applied("vm", "pause", "web-1", "-f", "--yes")
    applied.guest("vm/web-1").state = "running"

    assert applied("plan", "-f").status == 0


def test_a_vm_is_moved_where_it_is_asked_to(applied: Desk) -> None:
    other = "host/h2" if applied.where("vm/web-1") == "host/h1" else "host/h1"

    assert applied("vm", "migrate", "web-1", "--host", other.removeprefix("host/"), "-f", "--yes").status == 0
    assert applied.where("vm/web-1") == other
    assert applied("plan", "-f").status == 0


def test_a_vm_is_moved_away_when_no_host_is_named(applied: Desk) -> None:
    before = applied.where("vm/web-1")

    assert applied("vm", "migrate", "web-1", "-f", "--yes").status == 0
    assert applied.where("vm/web-1") not in (None, before)


def test_only_the_vm_that_was_named_is_touched(applied: Desk) -> None:
    applied.declare("web-2.yaml", (applied.manifests / "web-1.yaml").read_text().replace("web-1", "web-2"))

    assert applied("vm", "stop", "web-1", "-f", "--yes").status == 0
    assert applied.where("vm/web-2") is None
    assert applied("plan", "-f").status == 2


@pytest.mark.parametrize(
    ("policy", "action", "line"),
    [("Always", "stop", 13), ("Stopped", "start", 13), ("Stopped", "reboot", 13)],
)
def test_what_the_manifest_forbids_is_refused_with_file_and_line(
    applied: Desk, policy: str, action: str, line: int
) -> None:
    applied.change("web-1.yaml", "  memory: 1Gi\n", f"  memory: 1Gi\n  runPolicy: {policy}\n")

    result = applied("vm", action, "web-1", "-f", "--yes")

    text = (applied.manifests / "web-1.yaml").read_text().splitlines()
    found = next(number for number, one in enumerate(text, 1) if "runPolicy" in one)
    assert result.status == 5
    assert f"web-1.yaml:{found}:" in result.err
    assert f"runPolicy: {policy}" in result.err
    assert not record(applied).intents


@pytest.mark.parametrize(
    ("file", "old", "new", "field"),
    [
        ("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  placement: {hosts: [h1]}\n", "h1 only"),
        ("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  placement: {migration: Pinned}\n", "Pinned"),
        ("h2.yaml", "cluster: main,", "cluster: main, maintenance: true,", "maintenance"),
    ],
)
def test_a_move_that_the_manifests_forbid_is_refused(
    applied: Desk, file: str, old: str, new: str, field: str
) -> None:
    applied.change(file, old, new)

    result = applied("vm", "migrate", "web-1", "--host", "h2", "-f", "--yes")

    assert result.status == 5
    assert f"{file}:" in result.err
    assert field in result.err


@pytest.mark.parametrize(
    ("action", "why"), [("start", "runs already"), ("resume", "not paused"), ("migrate", "already")]
)
def test_what_is_so_already_needs_nothing(applied: Desk, action: str, why: str) -> None:
    here = str(applied.where("vm/web-1"))
    before = record(applied).revision
    extra = ("--host", here) if action == "migrate" else ()

    result = applied("vm", action, "web-1", *extra, "-f", "--yes")

    assert (result.status, record(applied).revision) == (0, before)
    assert why in result.err


@pytest.mark.parametrize("action", ["reboot", "pause", "resume", "migrate"])
def test_a_vm_that_does_not_run_cannot_be_asked_to(applied: Desk, action: str) -> None:
    applied("vm", "stop", "web-1", "-f", "--yes")

    result = applied("vm", action, "web-1", "-f", "--yes")

    assert result.status == 5
    assert "does not run" in result.err


def test_a_vm_that_was_never_made_is_applied_first(desk: Desk) -> None:
    result = desk("vm", "start", "web-1", "-f", "--yes")

    assert result.status in (3, 5)
    assert "ostler" in result.err


def test_a_move_that_no_host_can_take_is_told_and_leaves_no_intent(applied: Desk) -> None:
    here = applied.where("vm/web-1")
    for name, host in applied.world.hosts.items():
        if name != here:
            host.capabilities = replace(host.capabilities, memory_bytes=2**20)

    result = applied("vm", "migrate", "web-1", "-f", "--yes")

    assert result.status == 3
    assert "asked to leave" in result.err
    assert not record(applied).intents


def test_without_waiting_the_intent_is_left_for_the_next_apply(applied: Desk) -> None:
    result = applied("vm", "stop", "web-1", "-f", "--yes", "--no-wait")

    assert result.status == 0
    assert applied.where("vm/web-1") is not None
    assert applied("apply", "-f", "--yes").status == 0
    assert applied.where("vm/web-1") is None


def test_without_a_terminal_nothing_is_done_unless_yes_is_said(applied: Desk) -> None:
    result = applied("vm", "stop", "web-1", "-f")

    assert result.status == 5
    assert "--yes" in result.err
    assert applied.where("vm/web-1") is not None


def test_unknown_vms_and_hosts_are_told_with_those_that_there_are(applied: Desk) -> None:
    assert "vm/web-1" in applied("vm", "stop", "wbe-1", "-f").err
    result = applied("vm", "migrate", "web-1", "--host", "h9", "-f")
    assert (result.status, "host/h1" in result.err) == (1, True)


def test_a_intent_whose_apply_was_killed_is_carried_out_by_the_next_one_and_only_once(applied: Desk) -> None:
    run = applied.guest("vm/web-1").config.run
    applied("vm", "reboot", "web-1", "-f", "--yes", "--no-wait")

    assert applied("apply", "-f", "--yes").status == 0
    assert applied("apply", "-f", "--yes").status == 0
    assert applied.guest("vm/web-1").config.run == run + 1


def test_a_intent_to_start_a_vm_that_runs_by_then_is_over(applied: Desk) -> None:
    applied("vm", "stop", "web-1", "-f", "--yes", "--no-wait")
    applied("vm", "start", "web-1", "-f", "--yes", "--no-wait")
    applied("apply", "-f", "--yes")
    host = applied.world.hosts[str(applied.where("vm/web-1"))]
    host.lose_guest(record(applied).uuid, "shutdown")

    applied("apply", "-f", "--yes")

    assert applied.where("vm/web-1") is None


def test_while_somebody_else_applies_who_takes_up_nothing_the_intent_is_refused(applied: Desk) -> None:
    store = applied.store()
    with store.exclusive("ostler apply"):
        result = applied("vm", "stop", "web-1", "-f", "--yes")
    store.close()

    assert result.status == 5
    assert "takes up no intents" in result.err
    assert applied.where("vm/web-1") is not None


def test_the_running_loop_is_handed_the_intent_and_its_answer_is_shown(
    applied: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = applied.store()
    left: list[object] = []

    def take_up(_delay: float) -> object:
        for one in store.requests.open("58cfb470-02f3-03d7-0386-0000000003bc"):
            left.append(one.intent)
            store.requests.answer(one.intent.id, "failed", "the guest does not react")
        return sleep(_delay)

    sleep = asyncio.sleep
    monkeypatch.setattr("reconciler.cli.vm.asyncio.sleep", take_up)
    with store.exclusive("ostler run"):
        result = applied("vm", "migrate", "web-1", "-f", "--yes")
    store.close()

    assert (result.status, "the guest does not react" in result.err) == (4, True)
    assert [one.host for one in left] == ["host/h2"]  # type: ignore[attr-defined]  # the one that was shown


def begin_order(desk: Desk) -> None:
    """An order about vm/web-1 is being carried out that this store knows nothing of."""
    host = desk.world.hosts[str(desk.where("vm/web-1"))]
    former = next(one.order for one in host.ledger.values() if one.order and one.order.object == "vm/web-1")
    key = "another/vm/web-1#migrate"
    host.ledger[key] = LedgerEntry(replace(former, key=key), OrderResult(key, "running"))
    host.changed()


def test_what_only_waits_is_handed_to_the_running_loop(
    applied: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_order(applied)
    store, answers = applied.store(), [("waiting", "order is running"), ("done", "")]

    def answer(_delay: float) -> object:
        for one in store.requests.open("58cfb470-02f3-03d7-0386-0000000003bc"):
            store.requests.answer(one.intent.id, *answers.pop(0))
        return sleep(_delay)

    sleep = asyncio.sleep
    monkeypatch.setattr("reconciler.cli.vm.asyncio.sleep", answer)
    with store.exclusive("ostler run"):
        result = applied("vm", "stop", "web-1", "-f", "--yes")
    store.close()

    assert result.status == 0, result
    assert "deferred" in result.out
    assert "it waits: order is running" in result.err


def test_without_a_loop_what_only_waits_is_refused_and_says_what_to_do(applied: Desk) -> None:
    begin_order(applied)

    result = applied("vm", "stop", "web-1", "-f", "--yes")

    assert result.status == 3
    assert "is running on host/" in result.err
    assert "ask again after that, or leave it to `ostler run`" in result.err
    assert not record(applied).intents


def test_a_move_that_fails_says_where_the_vm_is(applied: Desk) -> None:
    here = applied.where("vm/web-1")
    applied.faults.broken_migrations.add("vm/web-1")

    result = applied("vm", "migrate", "web-1", "-f", "--yes")

    assert result.status == 4
    assert f"vm/web-1 runs on {here}\n" in result.err
