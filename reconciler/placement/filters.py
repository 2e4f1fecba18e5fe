"""Filters, one class each, under oVirt's names: which hosts may run a VM, and why the others may not.

`keep` answers for all hosts of a table at once; `reason` explains one host that `keep` dropped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from reconciler.model.quantities import format_bytes
from reconciler.model.scheduling import DURATION, HIGH_UTILIZATION, SWAP_USAGE
from reconciler.placement.demand import VmDemand
from reconciler.placement.table import UNKNOWN, Booleans, HostTable


class Filter(Protocol):
    """One filter unit with its parameters."""

    @property
    def name(self) -> str:
        """As in the table of units."""
        ...

    def keep(self, demand: VmDemand, table: HostTable) -> Booleans:
        """True for each host that may run the VM."""
        ...

    def reason(self, demand: VmDemand, table: HostTable, host: int) -> str:
        """Why this host may not, in words that say what is missing."""
        ...


def _every(table: HostTable) -> Booleans:
    return np.ones(len(table.ids), dtype=np.bool_)


class PinToHost:
    """Only hosts that the manifest pins the VM to, or to which its TPM state binds it."""

    name = "PinToHost"

    def keep(self, demand: VmDemand, table: HostTable) -> Booleans:
        """Everywhere, unless the VM is pinned or bound."""
        if not demand.pinned and not demand.bound:
            return _every(table)
        allowed = (
            demand.pinned & demand.bound if demand.pinned and demand.bound else demand.pinned | demand.bound
        )
        return np.array([name in allowed for name in table.ids], dtype=np.bool_)

    def reason(self, demand: VmDemand, table: HostTable, host: int) -> str:
        """The pinning list, or where the TPM's state lies."""
        if demand.pinned and table.ids[host] not in demand.pinned:
            return f"the VM is pinned to {', '.join(sorted(demand.pinned))}"
        return f"the VM's TPM state lies on {', '.join(sorted(demand.bound))}"


class Migration:
    """A VM that a person asked to move goes to the host that was named, and not to the one where it is."""

    name = "Migration"

    def keep(self, demand: VmDemand, table: HostTable) -> Booleans:
        """Everywhere, unless somebody asked."""
        if not demand.away:
            return _every(table)
        named = demand.destination
        return np.array(
            [name == named if named else name != demand.current for name in table.ids], dtype=np.bool_
        )

    def reason(self, demand: VmDemand, table: HostTable, host: int) -> str:
        """What was asked."""
        if demand.destination is not None:
            return f"somebody asked for {demand.destination}"
        return "somebody asked that it leaves this host"


class CpuLevel:
    """The host can run the VM's CPU model."""

    name = "CPU-Level"

    def keep(self, demand: VmDemand, table: HostTable) -> Booleans:
        """Hosts whose libvirt calls the model usable; host models fit everywhere."""
        if demand.cpu_model in (None, "host-passthrough", "maximum", "host-model"):
            return _every(table)
        return table.matching(
            (self.name, demand.cpu_model),
            lambda host: demand.cpu_model in table.capabilities[host].cpu_models,
        )

    def reason(self, demand: VmDemand, table: HostTable, host: int) -> str:
        """The model, and what the host can run at best."""
        models = table.capabilities[host].cpu_models
        return f"it cannot run CPU model {demand.cpu_model}{f' (at best {models[-1]})' if models else ''}"


class EmulatedMachine:
    """The host has the VM's machine type."""

    name = "Emulated-Machine"

    def keep(self, demand: VmDemand, table: HostTable) -> Booleans:
        """Hosts that list the type; families such as q35 are on every host."""
        if demand.machine in (None, "q35", "pc"):
            return _every(table)
        return table.matching(
            (self.name, demand.machine), lambda host: demand.machine in table.capabilities[host].machines
        )

    def reason(self, demand: VmDemand, table: HostTable, host: int) -> str:
        """The missing type."""
        return f"it has no machine type {demand.machine}"


class Cpu:
    """The host has at least as many CPUs as the VM has vCPUs; over-commitment beyond that is free."""

    name = "CPU"

    def keep(self, demand: VmDemand, table: HostTable) -> Booleans:
        """By number."""
        kept: Booleans = table.cpus >= demand.vcpus
        return kept

    def reason(self, demand: VmDemand, table: HostTable, host: int) -> str:
        """Both numbers."""
        return f"not enough CPU cores: the VM has {demand.vcpus} vCPUs, the host {table.cpus[host]}"


@dataclass(frozen=True, slots=True)
class CpuOverloaded:
    """Hosts over HighUtilization, and not for a moment only, take no further VM; a host without statistics does."""

    high_utilization_percent: int = 90
    duration_minutes: int = 2
    name: str = "CPUOverloaded"

    def keep(self, demand: VmDemand, table: HostTable) -> Booleans:
        """By mean load per CPU, with what was just placed, once the load has lasted; the VM's own host always stays."""
        known = table.load != UNKNOWN
        over = table.load > self.high_utilization_percent * table.cpus
        lasts = table.lasting_percent(self.duration_minutes) >= self.high_utilization_percent
        kept: Booleans = ~(known & over & lasts)
        if (own := table.position(demand.current)) is not None:
            kept[own] = True
        return kept

    def reason(self, demand: VmDemand, table: HostTable, host: int) -> str:
        """The load."""
        share = table.load[host] // max(1, table.cpus[host])
        limit = self.high_utilization_percent
        return f"CPU too loaded: {share} %, more than {limit} % for {self.duration_minutes} min"


@dataclass(frozen=True, slots=True)
class Swap:
    """The host does not swap more than MaximumAllowedSwapUsage."""

    most_percent: int = 0
    name: str = "Swap"

    def keep(self, demand: VmDemand, table: HostTable) -> Booleans:
        """By percent of physical memory swapped."""
        return table.swap_used_percent <= self.most_percent

    def reason(self, demand: VmDemand, table: HostTable, host: int) -> str:
        """How much it swaps."""
        return f"it is swapping: {table.swap_used_percent[host]} % of its memory"


class ClusterInMaintenance:
    """Only VMs that run already, or that restart by themselves after a failure."""

    name = "ClusterInMaintenance"

    def keep(self, demand: VmDemand, table: HostTable) -> Booleans:
        """All hosts or none."""
        return np.full(len(table.ids), demand.current is not None or demand.restarts, dtype=np.bool_)

    def reason(self, demand: VmDemand, table: HostTable, host: int) -> str:
        """Who may start."""
        return "the cluster is in maintenance: only VMs that restart after a failure start"


class Memory:
    """Memory of the VM and QEMU fits into what the host has left for guests, and into what is free there by its last
    statistics, with free swap; a VM always fits where it runs."""

    name = "Memory"

    def keep(self, demand: VmDemand, table: HostTable) -> Booleans:
        """By bytes left under the cluster's over-commitment, and by bytes that nothing else has taken either."""
        kept: Booleans = (table.free >= demand.memory_bytes) & self._is_free(demand, table)
        if (own := table.position(demand.current)) is not None:
            kept[own] = True
        return kept

    def _is_free(self, demand: VmDemand, table: HostTable) -> Booleans:
        """Whether there is so much memory; hosts without statistics are believed."""
        reaches = (table.physical >= 0) & (demand.memory_bytes <= table.physical + table.swap_free)
        free: Booleans = (table.physical == UNKNOWN) | reaches
        return free

    def reason(self, demand: VmDemand, table: HostTable, host: int) -> str:
        """Needed and left, in MiB."""
        short = table.free[host] < demand.memory_bytes
        left = int(table.free[host] if short else table.physical[host] + table.swap_free[host])
        need = -(-demand.memory_bytes // 2**20) * 2**20
        which = "available memory too low" if short else "not so much memory is free"
        return f"{which}: {format_bytes(max(0, left) // 2**20 * 2**20)} of {format_bytes(need)} needed"


class Network:
    """The host has every network of the VM's cards."""

    name = "Network"

    def keep(self, demand: VmDemand, table: HostTable) -> Booleans:
        """By names."""
        if not demand.networks:
            return _every(table)
        return table.matching(
            (self.name, demand.networks), lambda host: demand.networks <= table.networks[host]
        )

    def reason(self, demand: VmDemand, table: HostTable, host: int) -> str:
        """The missing ones."""
        missing = ", ".join(sorted(demand.networks - table.networks[host]))
        return f"network missing: {missing}"


class Storage:
    """The host reaches every storage domain of the VM's disks; a local domain belongs to one host."""

    name = "Storage"

    def keep(self, demand: VmDemand, table: HostTable) -> Booleans:
        """By names."""
        if not demand.domains:
            return _every(table)
        return table.matching((self.name, demand.domains), lambda host: demand.domains <= table.domains[host])

    def reason(self, demand: VmDemand, table: HostTable, host: int) -> str:
        """The domains out of reach."""
        missing = ", ".join(sorted(demand.domains - table.domains[host]))
        return f"storage domain out of reach: {missing}"


FILTERS: Mapping[str, Callable[[Mapping[str, int]], Filter]] = {
    "PinToHost": lambda _: PinToHost(),
    "Migration": lambda _: Migration(),
    "CPU-Level": lambda _: CpuLevel(),
    "Storage": lambda _: Storage(),
    "ClusterInMaintenance": lambda _: ClusterInMaintenance(),
    "CPU": lambda _: Cpu(),
    "CPUOverloaded": lambda values: CpuOverloaded(values.get(HIGH_UTILIZATION, 90), values.get(DURATION, 2)),
    "Emulated-Machine": lambda _: EmulatedMachine(),
    "Swap": lambda values: Swap(values.get(SWAP_USAGE, 0)),
    "Memory": lambda _: Memory(),
    "Network": lambda _: Network(),
}
"""How each filter is made from the values of parameters; defaults as in oVirt (facts: engine §1.3)."""
