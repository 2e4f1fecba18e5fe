"""One plan from one diff: steps by rule, edges, a legal order to show them in, and the basis they rest on."""

from collections.abc import Iterable

from reconciler.model.change import Alert, Changes, Identities
from reconciler.model.desired import Desired
from reconciler.model.observed import Observed
from reconciler.model.placement import Placement
from reconciler.model.plan import MIGRATIONS_LIMIT, Basis, Plan, Step
from reconciler.planning.basis import basis_of
from reconciler.planning.context import PlanContext, PlanningError, plan_context
from reconciler.planning.graph import StepCycleError, sort_steps
from reconciler.planning.ordering import display_key, order_steps
from reconciler.planning.rules.disks import plan_disks
from reconciler.planning.rules.hosts import plan_hosts
from reconciler.planning.rules.live import plan_live
from reconciler.planning.rules.remains import plan_remains
from reconciler.planning.rules.storage import plan_storage
from reconciler.planning.rules.vms import plan_vms

TOPICS = (plan_storage, plan_hosts, plan_disks, plan_vms, plan_live, plan_remains)


def build_plan(
    desired: Desired,
    observed: Observed,
    identities: Identities,
    placement: Placement,
    changes: Changes,
    planner: str,
    alerts: tuple[Alert, ...] = (),
) -> Plan:
    """The whole plan. alerts: what people should see to besides. A cycle among its steps leaves a plan with the problem and without steps."""
    context = plan_context(desired, observed, identities, placement, changes)
    steps: tuple[Step, ...] = (
        order_steps(context, _decide(context)) if changes.changes or changes.pool else ()
    )
    problems: tuple[str, ...] = ()
    try:
        steps = sort_steps(steps, display_key(context)) if steps else ()
    except StepCycleError as cycle:
        problems, steps = (f"these steps wait for each other: {cycle}",), ()
    return Plan(
        planner=planner,
        data_center=desired.data_center.meta.id,
        data_center_uuid=desired.data_center.uuid,
        basis=basis_of(desired, observed, steps) if steps else Basis(),
        steps=steps,
        blocked=changes.blocked,
        deferred=changes.deferred,
        drift=changes.drift,
        alerts=alerts,
        problems=problems,
        limits=_limits(desired, steps),
    )


def _decide(context: PlanContext) -> tuple[Step, ...]:
    """All steps, by topic, without order. Raises PlanningError if a change leads to none: it would never happen, and
    nobody would be told."""
    steps = tuple(step for topic in TOPICS for step in topic(context))
    planned = {(step.object, step.because) for step in steps}
    for change in context.changes.changes:
        if (change.object, change.because) not in planned:
            raise PlanningError(f"no rule says how to {change.verb} {change.object} {change.subject or ''}")
    return steps


def _limits(desired: Desired, steps: Iterable[Step]) -> dict[str, dict[str, int]]:
    """How many migrations a host takes part in at once: the strictest of the clusters whose VMs it sends or takes."""
    uuids = {host.uuid: name for name, host in desired.hosts.items()}
    limits: dict[str, int] = {}
    for step in steps:
        if step.kind == "migrate-vm":
            most = desired.clusters[desired.vms[step.object].cluster].migration.concurrent_per_host
            for host in (step.host, uuids[step.args["destination"]]):
                limits[host] = min(limits.get(host, most), most)
    return {MIGRATIONS_LIMIT: dict(sorted(limits.items()))} if limits else {}
