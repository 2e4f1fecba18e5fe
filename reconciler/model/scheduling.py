"""Scheduling policies as data: the units that there are, their parameters with ranges, and the policies that come with
Ostler. Names, ranges, defaults and factors are oVirt's (facts: engine §1.2 to 1.4).

`desired` checks policies against it, `placement` has a class for each unit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

UnitKind = Literal["filter", "weight", "balance", "selector"]
Selector = Literal["RankSelector", "BasicWeighting"]

HIGH_UTILIZATION: Final = "HighUtilization"
LOW_UTILIZATION: Final = "LowUtilization"
DURATION: Final = "CpuOverCommitDurationMinutes"
MEMORY_OVER: Final = "MaxFreeMemoryForOverUtilized"
MEMORY_UNDER: Final = "MinFreeMemoryForUnderUtilized"
VCPU_RATIO: Final = "VCpuToPhysicalCpuRatio"
HIGH_VM_COUNT: Final = "HighVmCount"
MIGRATION_THRESHOLD: Final = "MigrationThreshold"
SPM_GRACE: Final = "SpmVmGrace"
SWAP_USAGE: Final = "MaximumAllowedSwapUsage"


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a parameter may be: whole numbers from low to high; in hundredths where it has decimals (0.75 is 75)."""

    low: int
    high: int
    meaning: str
    decimals: bool = False


MOST_MIB: Final = 2**31 - 1
PARAMETERS: Final[Mapping[str, Parameter]] = {
    HIGH_UTILIZATION: Parameter(50, 99, "a host whose CPUs are busier, in percent, is overloaded"),
    LOW_UTILIZATION: Parameter(0, 49, "a host whose CPUs are less busy, in percent, is underused"),
    DURATION: Parameter(1, 10, "minutes for which a load must last before anything is done about it"),
    MEMORY_OVER: Parameter(1, MOST_MIB, "a host with less memory left for guests, in MiB, is overloaded"),
    MEMORY_UNDER: Parameter(1, MOST_MIB, "a host with more memory left for guests, in MiB, is underused"),
    VCPU_RATIO: Parameter(0, 299, "a host with more vCPUs to a CPU is overloaded; 0 switches that off", decimals=True),
    HIGH_VM_COUNT: Parameter(0, 10_000, "VMs that the fullest host must have before VM numbers are balanced"),
    MIGRATION_THRESHOLD: Parameter(2, 10_000, "by how many VMs two hosts must differ before one moves"),
    SPM_GRACE: Parameter(0, 10_000, "VMs that the host with the SPM role counts for besides its own"),
    SWAP_USAGE: Parameter(0, 199, "a host that has swapped more of its memory, in percent, takes no VM"),
}  # fmt: skip
"""Every parameter of a unit. A load is known for ten minutes."""

FILTER_UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    "PinToHost": (), "Migration": (), "CPU-Level": (), "Storage": (),
    "ClusterInMaintenance": (), "CPU": (), "CPUOverloaded": (HIGH_UTILIZATION, DURATION), "Emulated-Machine": (),
    "Swap": (SWAP_USAGE,), "Memory": (), "Network": (),
}  # fmt: skip
"""Filters with the parameters that each reads."""

MANDATORY: Final = ("PinToHost", "Migration", "CPU-Level", "Storage")
"""Filters that every policy has, before its own. Storage is ours: oVirt takes hosts without their storage out of service."""

WEIGHT_UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    "OptimalForCpuEvenDistribution": (VCPU_RATIO,),
    "OptimalForMemoryEvenDistribution": (),
    "OptimalForCpuPowerSaving": (HIGH_UTILIZATION,),
    "OptimalForMemoryPowerSaving": (MEMORY_OVER, MEMORY_UNDER),
    "OptimalForEvenGuestDistribution": (SPM_GRACE,),
}
"""Weights with the parameters that each reads."""

BALANCE_UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    "None": (),
    "OptimalForEvenDistribution": (HIGH_UTILIZATION, MEMORY_OVER, MEMORY_UNDER, DURATION, VCPU_RATIO),
    "OptimalForPowerSaving": (HIGH_UTILIZATION, LOW_UTILIZATION, MEMORY_OVER, MEMORY_UNDER, DURATION),
    "OptimalForEvenGuestDistribution": (HIGH_VM_COUNT, MIGRATION_THRESHOLD, SPM_GRACE),
}
"""Balances with the parameters that each reads."""

SELECTOR_UNITS: Final = ("RankSelector", "BasicWeighting")

ELSEWHERE: Final[Mapping[str, str]] = {
    "HA": "it places the hosted engine, which Ostler does not have",
    "HostedEngineSpares": "it keeps room for the hosted engine, which Ostler does not have",
}
"""Units of oVirt that have no meaning here, with why."""
