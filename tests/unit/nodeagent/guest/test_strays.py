"""What the agent may do by itself about a guest follows from its record alone, and errs on the side of leaving it."""

from dataclasses import replace

import pytest

from nodeagent.facts.guests import Guests
from nodeagent.operations.vm_places import open_record
from nodeagent.strays import SECOND_LIFE, Strays, is_settled, judge_absence, judge_guest
from nodeagent.wire.arguments import StartVm
from nodeagent.wire.facts import ExitFacts, GuestFacts
from nodeagent.wire.records import Run, RunHost, VmRecord
from tests.unit.nodeagent.guest.samples import DATA_CENTER, MASTER, VM, guest

HERE, THERE = "aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"
BOOT = "bbbbbbbb-0000-4000-8000-000000000001"


def record(number: int = 5, *hosts: str, closed: str | None = None, **fields) -> VmRecord:
    run = Run(number, tuple(RunHost(host, BOOT) for host in hosts), closed=closed)
    whole = VmRecord(VM, "vm/web-1", DATA_CENTER, 9, 1, "pc-q35-7.2", "maximum", run=run)
    return replace(whole, **fields)


def living(run: int = 5, **fields) -> GuestFacts:
    return replace(GuestFacts(VM, "web-1", "running", True, guest(run=run)), **fields)


@pytest.mark.parametrize(
    ("facts", "kept", "verdict"),
    [
        (living(), record(5, HERE), "keep"),
        (living(), record(5, THERE), "destroy"),
        (living(run=4), record(5, HERE), "label"),
        (living(run=4, state="incoming"), record(5, HERE), "keep"),
        (living(run=4), record(5, THERE), "destroy"),
        (living(run=6), record(5, THERE), "keep"),
        (living(), record(5, THERE, closed="host-lost"), "keep"),
        (living(), None, "keep"),
        (living(), record(run=None), "keep"),
        (living(), record(5, THERE, removed=True), "keep"),
        (living(), record(5, HERE, THERE), "only-here"),
        (living(), record(5, THERE, HERE), "keep"),
        (living(state="incoming"), record(5, THERE, HERE), "keep"),
        (living(state="incoming"), record(5, THERE), "destroy"),
        (living(state="paused", pause_reason="migration"), record(5, HERE, THERE), "keep"),
        (living(state="unknown"), record(5, HERE, THERE), "keep"),
        (living(config=None), record(5, THERE), "keep"),
        (living(managed=False), record(5, THERE), "keep"),
        (living(managed=False, run=0), record(5, HERE), "label"),
        (living(managed=False, config=None), record(5, HERE), "keep"),
    ],
)
def test_a_guest_is_judged_by_its_record(facts, kept, verdict):
    assert judge_guest(facts, kept, HERE, migrating=False).verdict == verdict


@pytest.mark.parametrize("kept", [record(5, THERE), record(5, HERE, THERE)])
def test_a_guest_that_this_agent_moves_just_now_is_left_alone(kept):
    assert judge_guest(living(), kept, HERE, migrating=True).verdict == "keep"
    assert judge_absence(kept, HERE, migrating=True).verdict == "keep"


@pytest.mark.parametrize(
    ("kept", "verdict"),
    [
        (record(5, HERE, THERE), "leave-out"),
        (record(5, THERE, HERE), "keep"),
        (record(5, HERE), "keep"),
        (record(5, HERE, THERE, closed="crashed"), "keep"),
        (None, "keep"),
    ],
)
def test_only_the_source_of_a_migration_leaves_a_record_and_only_where_another_is_left(kept, verdict):
    assert judge_absence(kept, HERE, migrating=False).verdict == verdict


def test_an_exit_is_settled_once_its_run_is_closed_or_overtaken():
    exit_ = ExitFacts(VM, 5, "crashed")

    assert not is_settled(exit_, None)
    assert not is_settled(exit_, record(5, HERE))
    assert not is_settled(exit_, record(4, HERE, closed="shutdown"))
    assert is_settled(exit_, record(5, HERE, closed="shutdown"))
    assert is_settled(exit_, record(6, THERE))


def test_a_second_life_that_is_destroyed_is_told_with_the_reason(bench):
    bench.define(guest())
    bench.run(StartVm(MASTER, guest()))
    record, there = open_record(bench.host, MASTER, VM), RunHost(THERE, BOOT)
    record.claim(2, (RunHost(HERE, BOOT), there), "another/order")
    record.settle(2, (there,))
    guests = Guests(bench.hypervisor, bench.host.exits)

    Strays(bench.host, guests).look(lambda: None)
    guests.collect()

    assert bench.hypervisor.domains == {}
    assert [(one.vm, one.run, one.reason) for one in bench.host.exits.deeds()] == [(VM, 1, SECOND_LIFE)]
    assert [(one.reason, one.detail) for one in bench.host.exits.pending()] == [("destroyed", SECOND_LIFE)]
