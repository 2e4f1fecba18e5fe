"""Weights, one class each, under oVirt's names: which of the hosts that are left is best. Lower scores are better."""

from typing import Protocol

import numpy as np

from reconciler.placement.demand import VmDemand
from reconciler.placement.table import UNKNOWN, HostTable, Integers

MAX_SCORE = 1000
"""MaxSchedulerWeight."""


class Weight(Protocol):
    """One weight unit."""

    name: str

    def score(self, demand: VmDemand, table: HostTable) -> Integers:
        """A score for each host of the table; only its order matters."""
        ...


class EvenCpu:
    """Least loaded CPUs first: load with the VM per CPU, stretched to 1 to 1000; hosts without statistics last."""

    name = "OptimalForCpuEvenDistribution"

    def score(self, demand: VmDemand, table: HostTable) -> Integers:
        """round((load + VM's load) / CPUs), then a linear stretch."""
        known = table.load != UNKNOWN
        added = np.full(len(table.ids), demand.load, dtype=np.int64)
        if (own := table.position(demand.current)) is not None:
            added[own] = 0
        raw = np.rint((table.load + added) / np.maximum(1, table.cpus)).astype(np.int64)
        return np.where(known, _stretch(raw, known), MAX_SCORE)


def _stretch(raw: Integers, known: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> Integers:
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
        taken = np.full(len(table.ids), demand.memory_bytes, dtype=np.int64)
        if (own := table.position(demand.current)) is not None:
            taken[own] = 0
        most = max(2, int(table.free.max(initial=2)))
        return MAX_SCORE - np.rint((table.free - taken - 1) * 999 / (most - 1)).astype(np.int64)


WEIGHTS: dict[str, Weight] = {unit.name: unit for unit in (EvenCpu(), EvenMemory())}
