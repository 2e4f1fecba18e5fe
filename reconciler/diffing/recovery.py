"""Restarts of VMs that ended by themselves: which of them are protective, and which wait because they end at once.

`vms` asks it about every VM that is to start.
"""

from dataclasses import replace

from reconciler.diffing.context import DiffContext, Finding
from reconciler.diffing.power import FAILURES, last_exit
from reconciler.model.change import Change, Deferred, Reason, Verb
from reconciler.model.desired import RunPolicy, VirtualMachine
from reconciler.model.endings import LONG_RUN_MS, age_of_exit_ms, count_ends, restart_delay_ms
from reconciler.model.observed import VmObservation
from reconciler.model.quantities import format_duration

RESTARTING = frozenset({RunPolicy.ALWAYS, RunPolicy.RESTART_ON_FAILURE})
RECOVERS = frozenset({Verb.RECORD_EXIT, Verb.START})


def recovers(vm: VirtualMachine, seen: VmObservation | None, why: Reason) -> bool:
    """Whether a start by this rule restarts the VM after a failure, as its policy asks.

    A start that failed is a failure of its own only where it was a restart already: a VM that never ran is not HA yet.
    """
    record = seen.record if seen is not None else None
    if vm.run_policy not in RESTARTING or why.rule == "intent" or record is None or record.run is None:
        return False
    if record.run.stopped_by_manifest:
        return False
    reason = last_exit(record.run, seen)
    return reason in FAILURES and (reason != "failed" or record.ends is not None)


def protect(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Findings with the exit and the start of a VM marked as protective."""
    return tuple(
        replace(one, protective=True) if isinstance(one, Change) and one.verb in RECOVERS else one
        for one in findings
    )


def find_delay(
    context: DiffContext, vm: VirtualMachine, seen: VmObservation | None, why: Reason
) -> Deferred | None:
    """That a VM which ends again and again stays down for a while; None if it may start now.

    A changed manifest ends the wait, and so does a person who asks for a start.
    """
    record = seen.record if seen is not None else None
    if seen is None or record is None or seen.exit is None or why.rule == "intent":
        return None
    if record.run is None or record.run.closed is not None or record.manifest_digest != vm.meta.digest:
        return None
    ends, age_ms = count_ends(record, seen.exit), age_of_exit_ms(seen.exit, context.observed.hosts.values())
    left_ms = restart_delay_ms(ends or 0) - age_ms if age_ms is not None else 0
    if left_ms <= 0:
        return None
    limit = format_duration(LONG_RUN_MS)
    return Deferred(
        vm.meta.id,
        f"it ended {ends} times in a row, each within {limit} of its start; the last: {seen.exit.reason}",
        f"its next start, in {format_duration(left_ms)}",
    )
