"""Scheduling policies: filters in order, weights with factors. The files of policies/scheduling say the same for people;
a test holds the two together."""

from dataclasses import dataclass

from reconciler.placement.filters import FILTERS, Filter
from reconciler.placement.weights import WEIGHTS, Weight


@dataclass(frozen=True, slots=True)
class SchedulingPolicy:
    """Names of units; `weights` carry the factor of each unit's rank."""

    name: str
    filters: tuple[str, ...]
    weights: tuple[tuple[str, int], ...]

    def ordered_filters(self) -> tuple[Filter, ...]:
        """Mandatory filters first, then the policy's own, in its order."""
        mandatory = [unit for unit in FILTERS.values() if unit.mandatory]
        return (*mandatory, *(FILTERS[name] for name in self.filters if not FILTERS[name].mandatory))

    def weighted_units(self) -> tuple[tuple[Weight, int], ...]:
        """Weight units with their factors."""
        return tuple((WEIGHTS[name], factor) for name, factor in self.weights)


NONE = SchedulingPolicy(
    name="none",
    filters=("CPU", "CPUOverloaded", "Emulated-Machine", "Swap", "Memory", "Network"),
    weights=(("OptimalForCpuEvenDistribution", 2), ("OptimalForMemoryEvenDistribution", 1)),
)
"""oVirt's default policy: even distribution when a VM is placed, no balancing afterwards (facts: built-in policies)."""
