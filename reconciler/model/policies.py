"""The scheduling policies that come with Ostler: oVirt's (facts: engine §1.4), of the units that there are. The files of
policies/scheduling say the same for people; a test holds the two together.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from reconciler.model.desired import Cluster, Desired, Meta, SchedulingPolicy, Setting, UnitFactor
from reconciler.model.scheduling import (
    DURATION,
    HIGH_UTILIZATION,
    HIGH_VM_COUNT,
    LOW_UTILIZATION,
    MIGRATION_THRESHOLD,
    SPM_GRACE,
    VCPU_RATIO,
)

_FILTERS: Final = ("CPU", "CPUOverloaded", "Emulated-Machine", "Swap", "Memory", "Network")
_EVEN: Final = (
    UnitFactor("OptimalForCpuEvenDistribution", 2),
    UnitFactor("OptimalForMemoryEvenDistribution", 1),
)
_BUSY: Final = (Setting(DURATION, 2), Setting(HIGH_UTILIZATION, 80))


def _policy(name: str, description: str, **fields: object) -> SchedulingPolicy:
    whole = {"filters": _FILTERS, "weights": _EVEN, "settings": _BUSY, "description": description}
    return SchedulingPolicy(Meta(f"sched/{name}", name, digest=""), **(whole | fields))  # type: ignore[arg-type]


BUILT_IN: Final[Mapping[str, SchedulingPolicy]] = {
    one.meta.id: one
    for one in (
        _policy("none", "Spreads VMs evenly when it places them, and moves none afterwards."),
        _policy(
            "evenly_distributed",
            "Spreads the load of CPUs and the memory evenly, and moves VMs away from overloaded hosts.",
            balance="OptimalForEvenDistribution",
            settings=(*_BUSY, Setting(VCPU_RATIO, 0)),
        ),
        _policy(
            "vm_evenly_distributed",
            "Gives each host about as many VMs as the others.",
            weights=(UnitFactor("OptimalForEvenGuestDistribution", 2),),
            balance="OptimalForEvenGuestDistribution",
            settings=(*_BUSY, Setting(HIGH_VM_COUNT, 10), Setting(MIGRATION_THRESHOLD, 5), Setting(SPM_GRACE, 5)),
        ),
        _policy(
            "power_saving",
            "Fills hosts one after the other, and empties those with little load.",
            weights=(
                UnitFactor("OptimalForCpuPowerSaving", 2),
                UnitFactor("OptimalForMemoryPowerSaving", 1),
            ),
            balance="OptimalForPowerSaving",
            settings=(*_BUSY, Setting(LOW_UTILIZATION, 20)),
        ),
        _policy(
            "cluster_maintenance",
            "Starts no VM that does not restart by itself; running ones may move.",
            filters=("ClusterInMaintenance", *_FILTERS),
        ),
    )
}  # fmt: skip
"""By id; clusters name them without declaring them."""


def policy_of(desired: Desired, cluster: Cluster) -> SchedulingPolicy:
    """The policy of a cluster; KeyError where it names none that is declared."""
    name = cluster.scheduling_policy
    return BUILT_IN[name] if name in BUILT_IN else desired.scheduling_policies[name]


def cluster_settings(policy: SchedulingPolicy, settings: Iterable[Setting]) -> dict[str, int]:
    """Values of parameters that a policy or a cluster (settings) sets; what the cluster says goes before."""
    return {one.parameter: one.value for one in (*policy.settings, *settings)}
