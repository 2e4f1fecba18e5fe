"""What a plan rests on: the declarations of the objects that it touches and of what they reference, and the
last order of each. Admission compares it with a fresh pass; statistics are never in it."""

from collections.abc import Iterable, Mapping, Sequence

from reconciler.model.desired import Desired, Meta
from reconciler.model.observed import Observed
from reconciler.model.plan import Basis, Step
from reconciler.model.references import Declared, list_references, parent_of

NOT_DECLARED = "-"


def basis_of(desired: Desired, observed: Observed, steps: Sequence[Step]) -> Basis:
    """Digests of every touched or referenced object, `-` for one that no manifest declares; keys of last orders.

    Touched: each step's object and host, and where it sends a guest. Referenced: hosts whose leases it needs, and
    whatever these name, and so on to the data center.
    """
    uuids = {host.uuid: name for name, host in desired.hosts.items()}
    sent = {uuids.get(step.args["destination"]) for step in steps if step.kind == "migrate-vm"}
    touched = {step.object for step in steps} | {step.host for step in steps} | {one for one in sent if one}
    names = _with_references(desired, touched | _lease_hosts(steps))
    groups = _groups(desired)
    return Basis(
        desired={name: _digest_of(groups, name) for name in sorted(names)},
        last_orders={name: observed.last_orders.get(name, "") for name in sorted(touched)},
    )


def _lease_hosts(steps: Sequence[Step]) -> set[str]:
    """Hosts whose leases steps need. Thousands of starts share one long list, which is looked through once."""
    groups = {id(step.leases): step.leases for step in steps}
    return {host for group in groups.values() for host in group}


def _with_references(desired: Desired, names: Iterable[str]) -> set[str]:
    """Objects, all that they name, all that those name, and so on."""
    center = desired.data_center.meta.id
    groups = _groups(desired)
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        declared = _declared(groups, name)
        if declared is not None:
            left += (other for _path, other in list_references(declared, parent_of(declared, center)))
    return found


def _digest_of(groups: Mapping[str, Mapping[str, Declared]], name: str) -> str:
    declared = _declared(groups, name)
    return NOT_DECLARED if declared is None else declared.meta.digest


def _declared(groups: Mapping[str, Mapping[str, Declared]], name: str) -> Declared | None:
    return groups.get(name.partition("/")[0], {}).get(name)


def all_metas(desired: Desired) -> dict[str, Meta]:
    """Every declared object's meta by id."""
    return {name: one.meta for group in _groups(desired).values() for name, one in group.items()}


def _groups(desired: Desired) -> dict[str, Mapping[str, Declared]]:
    """Declared objects by the prefix of their ids."""
    return {
        "dc": {desired.data_center.meta.id: desired.data_center},
        "cluster": desired.clusters,
        "host": desired.hosts,
        "net": desired.networks,
        "sd": desired.storage_domains,
        "sched": desired.scheduling_policies,
        "disk": desired.disks,
        "vm": desired.vms,
    }
