"""Restarts of VMs that ended by themselves: which are protective, how often in a row, how long the next one waits."""

from dataclasses import replace
from itertools import pairwise

import pytest

from nodeagent.wire.facts import ExitFacts
from nodeagent.wire.records import Run, VmRecord
from reconciler.diffing.power import power_of
from reconciler.diffing.recovery import recovers
from reconciler.model.change import Power
from reconciler.model.desired import CpuTopology, Meta, RunPolicy, VirtualMachine
from reconciler.model.endings import LONG_RUN_MS, count_ends, restart_delay_ms
from reconciler.model.observed import Presence, VmObservation

UUID = "1b4d6f1e-d173-5f95-a154-93d15c00067a"
RECORD = VmRecord(UUID, "vm/web-1", UUID, 1, 1, "pc-q35-7.2", "Nehalem")


def is_protective(policy: RunPolicy, run: Run | None, ends: int | None = None) -> bool:
    vm = VirtualMachine(
        Meta("vm/web-1", "web-1", ""), "cluster/main", CpuTopology(), 1, 1, 1, run_policy=policy
    )
    record = replace(RECORD, run=run, ends=ends)
    seen = VmObservation(UUID, "vm/web-1", record, "read", Presence.NOT_RUNNING)
    power, why = power_of(vm, seen)
    return power is Power.RUN and recovers(vm, seen, why)


@pytest.mark.parametrize("reason", ["destroyed", "crashed", "host-lost", "unknown"])
def test_a_restart_after_a_failure_is_protective_where_the_policy_asks_for_it(reason: str) -> None:
    run = Run(3, (), closed=reason)  # type: ignore[arg-type]

    found = {policy: is_protective(policy, run) for policy in RunPolicy}

    assert [policy for policy, yes in found.items() if yes] == [
        RunPolicy.ALWAYS,
        RunPolicy.RESTART_ON_FAILURE,
    ]


@pytest.mark.parametrize("reason", ["shutdown", "stopped"])
def test_a_start_after_an_orderly_end_is_not_protective(reason: str) -> None:
    assert not is_protective(RunPolicy.ALWAYS, Run(3, (), closed=reason))  # type: ignore[arg-type]


def test_a_first_start_is_not_protective_and_its_failure_makes_no_failure_to_recover_from() -> None:
    assert not is_protective(RunPolicy.ALWAYS, None)
    assert not is_protective(RunPolicy.ALWAYS, Run(1, (), closed="failed"))
    assert is_protective(RunPolicy.ALWAYS, Run(9, (), closed="failed"), ends=1), "the restart itself failed"


@pytest.mark.parametrize(
    ("before", "exit_", "ends"),
    [
        (None, None, 1),
        (None, ExitFacts(UUID, 3, "crashed", 1_000), 1),
        (2, ExitFacts(UUID, 3, "crashed", 1_000), 3),
        (2, ExitFacts(UUID, 3, "shutdown", 1_000), 3),
        (2, ExitFacts(UUID, 3, "crashed", LONG_RUN_MS), 1),
        (2, ExitFacts(UUID, 3, "crashed"), 1),
        (2, ExitFacts(UUID, 2, "crashed", 1_000), 1),
        (2, ExitFacts(UUID, 3, "destroyed", 1_000), 1),
        (2, ExitFacts(UUID, 3, "host-lost"), 1),
        (2, ExitFacts(UUID, 3, "stopped", 1_000), None),
    ],
)
def test_ends_in_a_row_are_counted_and_a_long_run_or_a_stop_begins_anew(
    before: int | None, exit_: ExitFacts | None, ends: int | None
) -> None:
    assert count_ends(replace(RECORD, run=Run(3, ()), ends=before), exit_) == ends


def test_an_end_that_the_record_holds_is_not_counted_again() -> None:
    record = replace(RECORD, run=Run(3, (), closed="crashed"), ends=4)

    assert count_ends(record, ExitFacts(UUID, 3, "crashed", 1_000)) == 4


def test_the_delay_grows_from_nothing_to_five_minutes() -> None:
    assert [restart_delay_ms(number) for number in range(6)] == [0, 0, 10_000, 20_000, 40_000, 80_000]
    assert restart_delay_ms(10**6) == 300_000
    delays = [restart_delay_ms(number) for number in range(1, 12)]
    assert all(earlier <= later for earlier, later in pairwise(delays))
