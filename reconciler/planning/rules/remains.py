"""What removed VMs kept besides their disks: set aside where their removal did not reach it, then deleted."""

from collections.abc import Iterator

from nodeagent.wire.arguments import PurgeVm, RemoveVm
from nodeagent.wire.orders import Expectation
from reconciler.model.change import Change, Disruption, Verb
from reconciler.model.plan import Step
from reconciler.planning.context import PlanContext
from reconciler.planning.steps import make_step


def plan_remains(context: PlanContext) -> Iterator[Step]:
    """A step for each removed VM and each host that has to work on it."""
    for verb, make in ((Verb.SET_ASIDE, _set_aside), (Verb.PURGE, _purge)):
        changes = [one for one in context.of_verb(verb) if one.object.startswith("vm/")]
        for position, change in enumerate(changes):
            number = 1 + sum(1 for one in changes[:position] if one.object == change.object)
            yield make(context, change, str(verb) if number == 1 else f"{verb}.{number}")


def _set_aside(context: PlanContext, change: Change, verb: str) -> Step:
    """No byte goes yet: what is left gets the name that the removal would have given it."""
    uuid = str(change.subject)
    return make_step(
        change,
        RemoveVm(context.master, uuid),
        verb=verb,
        host=str(change.host),
        summary=f"set aside what the removed VM {uuid} left {change.because[0].ref}",
        expects=(Expectation(f"guest/{uuid}", "present", value=False),),
    )


def _purge(context: PlanContext, change: Change, verb: str) -> Step:
    """Deleting UEFI variables and TPM state of a VM whose removal had a consent."""
    uuid = str(change.subject)
    return make_step(
        change,
        PurgeVm(context.master, uuid, context.desired.data_center.retention_ms),
        verb=verb,
        host=str(change.host),
        summary=f"delete {_describe(context, change)} of the VM {uuid}, removed with consent {change.because[0].ref} ago "
        "or more",
        expects=(Expectation(f"guest/{uuid}", "present", value=False),),
        disruption=Disruption.DATA_LOSS,
    )


def _describe(context: PlanContext, change: Change) -> str:
    """What the host of a purge reaches of a VM."""
    left = [one for one in context.observed.remains if one.vm == change.subject and one.aside]
    kinds = {"UEFI variables": None, "TPM state": change.host}
    return " and ".join(kind for kind, host in kinds.items() if any(one.host == host for one in left))
