"""VMs that are larger than every host of their cluster as problems, at the fields that say so.

Called by the commands, which have the hosts' capacities from an observation.
"""

from collections.abc import Mapping
from dataclasses import replace

from reconciler.desired.places import Places
from reconciler.model.desired import Desired, Host
from reconciler.model.fitting import HostCapacity, find_misfits
from reconciler.problems import Problem


def check_against_hosts(
    desired: Desired, capacities: Mapping[str, HostCapacity], places: Places | None = None
) -> tuple[Problem, ...]:
    """Problems of VMs that no host which may run them is large enough for, even when it is empty.

    capacities: by host id. A VM that a host of unknown size may run is left alone.
    """
    by_cluster: dict[str, list[Host]] = {}
    for host in desired.hosts.values():
        by_cluster.setdefault(host.cluster, []).append(host)
    problems = [
        Problem(one.summary, one.detail, object=vm.meta.id, field=one.field, where=vm.meta.where)
        for vm in desired.vms.values()
        for one in find_misfits(vm, desired, by_cluster.get(vm.cluster, ()), capacities)
    ]
    if places is None or not problems:
        return tuple(problems)
    found = places.find_all([(problem.object, problem.field) for problem in problems])
    return tuple(
        replace(problem, where=where or problem.where) for problem, where in zip(problems, found, strict=True)
    )
