"""Whether a VM is to run: every run policy against every way in which the last run ended."""

import pytest

from nodeagent.wire.facts import ExitFacts
from nodeagent.wire.orders import Evidence, HostEvidence
from nodeagent.wire.records import Run, VmRecord
from reconciler.diffing.power import last_exit, power_of
from reconciler.model.change import Power
from reconciler.model.desired import CpuTopology, Meta, RunPolicy, VirtualMachine
from reconciler.model.observed import Presence, VmObservation

UUID = "1b4d6f1e-d173-5f95-a154-93d15c00067a"
R, H, S = Power.RUN, Power.HOLD, Power.STOP


def vm(policy: RunPolicy) -> VirtualMachine:
    return VirtualMachine(
        Meta("vm/web-1", "web-1", ""), "cluster/main", CpuTopology(), 1, 1, 1, run_policy=policy
    )


def seen(run: Run | None, **fields) -> VmObservation:
    record = VmRecord(UUID, "vm/web-1", UUID, 1, 1, "pc-q35-7.2", "Nehalem", run=run)
    return VmObservation(UUID, "vm/web-1", record, "read", Presence.NOT_RUNNING, **fields)


@pytest.mark.parametrize(
    ("exit_reason", "always", "on_failure", "manual", "stopped"),
    [
        (None, R, R, H, S),
        ("shutdown", R, H, H, S),
        ("stopped", R, H, H, S),
        ("destroyed", R, R, H, S),
        ("crashed", R, R, H, S),
        ("failed", R, R, H, S),
        ("host-lost", R, R, H, S),
        ("unknown", R, R, H, S),
    ],
)
def test_policy_and_last_exit_decide(exit_reason, always, on_failure, manual, stopped):
    run = Run(1, (), closed=exit_reason) if exit_reason else None

    found = [power_of(vm(policy), seen(run))[0] for policy in RunPolicy]

    assert found == [always, on_failure, manual, stopped]


def test_what_only_a_manifest_had_stopped_starts_when_the_manifest_lets_it():
    run = Run(1, (), closed="stopped", stopped_by_manifest=True)

    assert power_of(vm(RunPolicy.RESTART_ON_FAILURE), seen(run))[0] is Power.RUN


def test_an_exit_that_the_agent_keeps_counts_before_the_record_has_it():
    run = Run(3, ())

    assert last_exit(run, seen(run, exit=ExitFacts(UUID, 3, "shutdown"))) == "shutdown"
    assert last_exit(run, seen(run, exit=ExitFacts(UUID, 2, "shutdown"))) == "unknown"


def test_a_run_on_a_host_that_is_off_ended_with_its_host():
    proof = Evidence("hosts", 3, (HostEvidence(UUID, "confirmed"),))

    assert last_exit(Run(3, ()), seen(Run(3, ()), evidence=proof)) == "host-lost"
