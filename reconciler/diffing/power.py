"""Whether a VM is to run: runPolicy, its last exit, and what a person asked for (design: Power)."""

from nodeagent.wire.records import Run
from reconciler.model.change import Power, Reason
from reconciler.model.desired import RunPolicy, VirtualMachine
from reconciler.model.intents import power_intent
from reconciler.model.observed import Presence, VmObservation

FAILURES = frozenset({"destroyed", "crashed", "failed", "host-lost", "unknown"})
"""Exits after which RestartOnFailure starts a VM again."""


def power_of(vm: VirtualMachine, seen: VmObservation | None) -> tuple[Power, Reason]:
    """What the VM's power is to become, and by which rule. An intent that no manifest forbids goes before the policy.

    An intent to restart wants the VM to run, also where a crash came between its stop and its start.
    """
    record = seen.record if seen else None
    intent = power_intent(vm, record)
    if intent is not None:
        return (Power.STOP if intent.action == "stop" else Power.RUN), Reason("intent", intent.id)
    if vm.run_policy is RunPolicy.STOPPED:
        return Power.STOP, Reason("run-policy", "Stopped")
    if vm.run_policy is RunPolicy.ALWAYS:
        return Power.RUN, Reason("run-policy", "Always")
    if vm.run_policy is RunPolicy.MANUAL:
        return Power.HOLD, Reason("run-policy", "Manual")
    if seen is not None and seen.presence is Presence.RUNNING:
        return Power.RUN, Reason("run-policy", "RestartOnFailure")
    return _after_exit(record.run if record else None, seen)


def last_exit(run: Run | None, seen: VmObservation | None) -> str | None:
    """How the record's last run ended: as recorded, else as its agent keeps it, else as evidence tells."""
    if run is None:
        return None
    if run.closed is not None:
        return run.closed
    if seen is not None and seen.exit is not None and seen.exit.run == run.number:
        return seen.exit.reason
    if (
        seen is not None
        and seen.evidence is not None
        and any(one.kind != "answered" for one in seen.evidence.hosts)
    ):
        return "host-lost"
    return "unknown"


def describe_exit(run: Run | None, seen: VmObservation | None) -> str:
    """How the record's last run ended, in words; with the reason where its agent ended it by itself."""
    exit_ = seen.exit if seen is not None else None
    own = exit_ is not None and exit_.detail and run is not None and exit_.run == run.number
    return (
        f"{last_exit(run, seen)} by its host's agent: {exit_.detail}"
        if own and exit_
        else str(last_exit(run, seen))
    )


def _after_exit(run: Run | None, seen: VmObservation | None) -> tuple[Power, Reason]:
    """RestartOnFailure for a VM that does not run."""
    if run is None:
        return Power.RUN, Reason("never-ran")
    if run.stopped_by_manifest:
        return Power.RUN, Reason("stopped-by-manifest-before")
    reason = last_exit(run, seen)
    if reason in FAILURES:
        return Power.RUN, Reason("restart-on-failure", str(reason))
    return Power.HOLD, Reason("stays-down", str(reason))
