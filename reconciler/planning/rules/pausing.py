"""Pausing and resuming a guest because a person asked, and marking the intent in its record as done."""

from collections.abc import Iterator

from nodeagent.wire.arguments import PauseVm, ResumeVm, WriteVmRecord
from nodeagent.wire.orders import Expectation
from reconciler.model.change import Change, Disruption, Verb
from reconciler.model.plan import Step
from reconciler.planning.context import PlanContext
from reconciler.planning.rules.records import without_pausing
from reconciler.planning.steps import END_INTENT, make_step


def plan_pause(context: PlanContext, change: Change) -> Iterator[Step]:
    """The order, then the record. A crash in between leaves the intent open: the next plan finds the guest as asked and
    only writes the record."""
    seen, pausing = context.seen(change.object), change.verb is Verb.PAUSE
    assert seen is not None
    arguments = PauseVm(seen.uuid) if pausing else ResumeVm(seen.uuid)
    yield make_step(
        change,
        arguments,
        verb=change.verb.value,
        host=str(change.host),
        summary="let its CPUs stand still" if pausing else "let its CPUs go on",
        expects=(Expectation(f"guest/{seen.uuid}", "present", value=True),),
        disruption=Disruption.PAUSE if pausing else Disruption.NONE,
    )
    record = without_pausing(context, change.object)
    yield make_step(
        change,
        WriteVmRecord(context.master, record),
        verb=END_INTENT,
        host=context.worker_for(context.master, change.host, also=record.copy_domain),
        summary=f"write its record: it was {'paused' if pausing else 'resumed'} as asked",
    )
