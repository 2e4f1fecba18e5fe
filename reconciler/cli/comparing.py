"""What another scheduling policy would do: the desired state with it, and VMs that it places elsewhere. Shown by
`ostler explain --policy`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from reconciler.cli.failures import CommandError
from reconciler.cli.nearness import did_you_mean
from reconciler.model.desired import Desired
from reconciler.model.names import Kind, name_of, object_id
from reconciler.model.policies import BUILT_IN
from reconciler.pipeline import Pass


@dataclass(frozen=True, slots=True)
class Difference:
    """A VM and where it is placed by the policy of its cluster, and by another; none: nowhere."""

    vm: str
    now: str | None
    then: str | None


def with_policy(desired: Desired, cluster: str, policy: str) -> Desired:
    """The desired state with another policy for a cluster. Raises CommandError if there is none of that name."""
    name = policy if policy.startswith("sched/") else object_id(Kind.SCHEDULING_POLICY, policy)
    known = {*BUILT_IN, *desired.scheduling_policies}
    if name not in known:
        names = sorted(name_of(one) for one in known)
        raise CommandError(
            f"there is no scheduling policy {policy}; {did_you_mean(policy, names, ', '.join(names))}"
        )
    # Parameters that the cluster sets are those of its own policy.
    changed = replace(desired.clusters[cluster], scheduling_policy=name, settings=())
    return replace(desired, clusters={**desired.clusters, cluster: changed})


def find_differences(now: Pass, then: Pass, cluster: str) -> Iterator[Difference]:
    """VMs of a cluster that the two passes place on different hosts, by id."""
    for name, vm in now.desired.vms.items():
        if vm.cluster != cluster:
            continue
        here, there = (one.placement.assignments.get(name) for one in (now, then))
        hosts = (here.host if here else None, there.host if there else None)
        if hosts[0] != hosts[1]:
            yield Difference(name, *hosts)
