"""Making a step from typed order arguments, so that its kind and args always fit the contract."""

from nodeagent.wire.arguments import KINDS, Arguments
from nodeagent.wire.codec import as_in_a_file
from nodeagent.wire.orders import Evidence, Expectation
from reconciler.model.change import Change, Disruption, Reason
from reconciler.model.names import step_id
from reconciler.model.plan import Estimate, Step

END_INTENT = "end-intent"
"""The verb of the step that marks a person's intent as done in the VM's record; it comes late among its VM's steps."""

LET_GO = "let-go"
"""The verb of the step that takes disks out of the VM's record once they are unplugged."""


def make_step(
    change: Change | None,
    arguments: Arguments,
    *,
    verb: str,
    host: str,
    summary: str,
    identifier: str = "",
    because: tuple[Reason, ...] = (),
    expects: tuple[Expectation, ...] = (),
    disruption: Disruption = Disruption.NONE,
    evidence: Evidence | None = None,
    leases: tuple[str, ...] = (),
    estimate: Estimate | None = None,
    timeout_ms: int = 60_000,
    secrets: tuple[str, ...] = (),
) -> Step:
    """One step for the agent of `host`. Object and reasons come from the change where none are given."""
    subject = identifier or (change.object if change else "")
    return Step(
        id=step_id(subject, verb),
        kind=KINDS[type(arguments)],
        object=subject,
        host=host,
        summary=summary,
        args=as_in_a_file(arguments),
        because=because or (change.because if change else ()),
        expects=expects,
        disruption=disruption,
        evidence=evidence,
        leases=leases,
        estimate=estimate or Estimate(seconds=1),
        timeout_ms=timeout_ms,
        protective=change.protective if change else False,
        secrets=secrets,
    )
