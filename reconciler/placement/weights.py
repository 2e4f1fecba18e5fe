"""Weights, one class each, under oVirt's names: which of the hosts that are left is best. Lower scores are better.

Formulas are oVirt's (facts: engine §1.7).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from reconciler.model.scheduling import HIGH_UTILIZATION, MEMORY_OVER, MEMORY_UNDER, SPM_GRACE, VCPU_RATIO
from reconciler.placement.demand import VmDemand
from reconciler.placement.table import UNKNOWN, Booleans, HostTable, Integers

MAX_SCORE = 1000
"""MaxSchedulerWeight."""
MIB = 2**20


class Weight(Protocol):
    """One weight unit with its parameters."""

    @property
    def name(self) -> str:
        """As in the table of units."""
        ...

    def score(self, demand: VmDemand, table: HostTable) -> Integers:
        """A score for each host of the table; only its order matters to rank selection."""
        ...


@dataclass(frozen=True, slots=True)
class EvenCpu:
    """Least loaded CPUs first: load with the VM per CPU, stretched to 1 to 1000; hosts without statistics last.

    ratio_hundredths: a host with so many vCPUs to a CPU counts a thousand times its load; 0: none does.
    """

    ratio_hundredths: int = 0
    name: str = "OptimalForCpuEvenDistribution"

    def score(self, demand: VmDemand, table: HostTable) -> Integers:
        """round((load + VM's load) / CPUs), times 1000 if the ratio is reached, then a linear stretch."""
        known = table.load != UNKNOWN
        raw = np.rint(_shares(demand, table)).astype(np.int64)
        if self.ratio_hundredths:
            raw = np.where(table.vcpus * 100 >= self.ratio_hundredths * table.cpus, raw * MAX_SCORE, raw)
        return np.where(known, _stretch(raw, known), MAX_SCORE)


def _shares(demand: VmDemand, table: HostTable) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """Percent of each CPU with the VM; what it takes now is not added again where it runs."""
    added = np.full(len(table.ids), demand.load, dtype=np.int64)
    if (own := table.position(demand.current)) is not None:
        added[own] = 0
    return np.asarray((table.load + added) / np.maximum(1, table.cpus))


def _stretch(raw: Integers, known: Booleans) -> Integers:
    """Known scores onto 1 to 1000; all equal become 1."""
    if not known.any():
        return np.ones_like(raw)
    low, high = int(raw[known].min()), int(raw[known].max())
    if low == high:
        return np.ones_like(raw)
    return 1 + (raw - low) * (MAX_SCORE - 1) // (high - low)


class EvenMemory:
    """Most free memory first: 1000 - round((free - VM's memory - 1) * 999 / (most free - 1))."""

    name = "OptimalForMemoryEvenDistribution"

    def score(self, demand: VmDemand, table: HostTable) -> Integers:
        """The VM's memory is not taken off again where it runs already."""
        most = max(2, int(table.free.max(initial=2)))
        return MAX_SCORE - np.rint((_left(demand, table) - 1) * 999 / (most - 1)).astype(np.int64)


def _left(demand: VmDemand, table: HostTable) -> Integers:
    """Bytes left for guests with the VM there."""
    taken = np.full(len(table.ids), demand.memory_bytes, dtype=np.int64)
    if (own := table.position(demand.current)) is not None:
        taken[own] = 0
    return np.asarray(table.free - taken)


@dataclass(frozen=True, slots=True)
class PowerSavingCpu:
    """Busiest CPUs first, but for hosts over HighUtilization, which come last with those without statistics."""

    high_utilization_percent: int = 75
    name: str = "OptimalForCpuPowerSaving"

    def score(self, demand: VmDemand, table: HostTable) -> Integers:
        """The even score negated and stretched to 1 to 1000."""
        known = table.load != UNKNOWN
        raw = -np.rint(_shares(demand, table)).astype(np.int64)
        over = table.load > self.high_utilization_percent * table.cpus
        return np.where(known & ~over, _stretch(raw, known), MAX_SCORE)


@dataclass(frozen=True, slots=True)
class PowerSavingMemory:
    """Fullest memory first; a host that would have less than `low_mib` left counts the emptier, the less it has."""

    low_mib: int = 0
    high_mib: int | None = None
    name: str = "OptimalForMemoryPowerSaving"

    def score(self, demand: VmDemand, table: HostTable) -> Integers:
        """int(left / (1.1 * most free) * 999) + 1; left below low counts as min(1.1 * most free, high + low - left)."""
        left = _left(demand, table)
        most = max(1, int(table.free.max(initial=1)) * 11 // 10)
        low, high = self.low_mib * MIB, most if self.high_mib is None else self.high_mib * MIB
        counted = np.where(left < low, np.minimum(most, high + (low - left)), left)
        return (counted * 999 // most + 1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class EvenGuests:
    """Fewest VMs first; the host with the SPM role counts for `spm_grace` more."""

    spm_grace: int = 5
    name: str = "OptimalForEvenGuestDistribution"

    def score(self, demand: VmDemand, table: HostTable) -> Integers:
        """VMs there, and on their way there."""
        counts = table.guests.copy()
        if table.spm is not None:
            counts[table.spm] += self.spm_grace
        return counts


WEIGHTS: Mapping[str, Callable[[Mapping[str, int]], Weight]] = {
    "OptimalForCpuEvenDistribution": lambda values: EvenCpu(values.get(VCPU_RATIO, 0)),
    "OptimalForMemoryEvenDistribution": lambda _: EvenMemory(),
    "OptimalForCpuPowerSaving": lambda values: PowerSavingCpu(values.get(HIGH_UTILIZATION, 75)),
    "OptimalForMemoryPowerSaving": lambda values: PowerSavingMemory(
        values.get(MEMORY_OVER, 0), values.get(MEMORY_UNDER)
    ),
    "OptimalForEvenGuestDistribution": lambda values: EvenGuests(values.get(SPM_GRACE, 5)),
}
"""How each weight is made from the values of parameters; defaults as in oVirt (facts: engine §1.3)."""
