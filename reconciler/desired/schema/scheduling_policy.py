"""SchedulingPolicy: how the VMs of clusters are placed, from units that each policy combines anew."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from reconciler.desired.schema.base import Manifest, Part, by_key
from reconciler.desired.schema.scalars import ONE_LINE, PLAIN_NAME, OneLine, Reference, refuse
from reconciler.model.scheduling import PARAMETERS

UnitName = Annotated[str, StringConstraints(pattern=PLAIN_NAME, max_length=64)]

MOST_MIB: Final = 2**31 - 1


def _hundredths(value: Any) -> Any:
    """`1.5` as 150: a ratio is kept as a whole number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    scaled = value * 100
    if abs(scaled - round(scaled)) > 1e-6:
        raise refuse(f"{value} has more than two decimals", "write such as 0.75")
    return round(scaled)


def _ratio(value: int) -> int:
    highest = PARAMETERS["VCpuToPhysicalCpuRatio"].high
    if not 0 <= value <= highest:
        raise refuse(
            f"{value / 100:g} is not between 0 and {highest / 100:g}", "write such as 0.75, or 0 for off"
        )
    return value


Percent = Annotated[int, Field(ge=0, le=100)]
Mib = Annotated[int, Field(ge=1, le=MOST_MIB)]
Ratio = Annotated[
    int,
    BeforeValidator(_hundredths, json_schema_input_type=float),
    AfterValidator(_ratio),
]


class ParametersSpec(Part):
    """Values of parameters, under oVirt's names; each unit says which it reads."""

    high_utilization: Annotated[int, Field(ge=50, le=99)] | None = Field(
        default=None, alias="HighUtilization"
    )
    """A host whose CPUs are busier than so many percent is overloaded."""

    low_utilization: Annotated[int, Field(ge=0, le=49)] | None = Field(default=None, alias="LowUtilization")
    """A host whose CPUs are less busy than so many percent is underused."""

    duration: Annotated[int, Field(ge=1, le=10)] | None = Field(
        default=None, alias="CpuOverCommitDurationMinutes"
    )
    """Minutes for which a load must last before anything is done about it. Loads are known for ten minutes."""

    memory_over: Mib | None = Field(default=None, alias="MaxFreeMemoryForOverUtilized")
    """A host with less memory left for guests, in MiB, is overloaded."""

    memory_under: Mib | None = Field(default=None, alias="MinFreeMemoryForUnderUtilized")
    """A host with more memory left for guests, in MiB, is underused."""

    vcpu_ratio: Ratio | None = Field(default=None, alias="VCpuToPhysicalCpuRatio")
    """A host with so many vCPUs to one CPU, such as 1.5, is overloaded; 0 switches that off."""

    high_vm_count: Annotated[int, Field(ge=0, le=10_000)] | None = Field(default=None, alias="HighVmCount")
    """VMs that the fullest host must have before numbers of VMs are balanced."""

    migration_threshold: Annotated[int, Field(ge=2, le=10_000)] | None = Field(
        default=None, alias="MigrationThreshold"
    )
    """By how many VMs two hosts must differ before one moves."""

    spm_grace: Annotated[int, Field(ge=0, le=10_000)] | None = Field(default=None, alias="SpmVmGrace")
    """VMs that the host with the SPM role counts for besides its own."""

    swap_usage: Annotated[int, Field(ge=0, le=199)] | None = Field(
        default=None, alias="MaximumAllowedSwapUsage"
    )
    """A host that has swapped more than so many percent of its memory takes no VM."""


class WeightSpec(Part):
    """A weight unit and how much it counts."""

    unit: UnitName
    """Name of the unit."""

    factor: Annotated[int, Field(ge=0, le=1000)] = 1
    """How much the unit's ranking of hosts counts beside those of the others."""


class BalanceSpec(Part):
    """What moves running VMs to keep a cluster balanced."""

    unit: UnitName = "None"
    """Balance unit; `None` moves none."""


NO_BALANCE: Final = BalanceSpec.model_validate({})
NO_PARAMETERS: Final = ParametersSpec.model_validate({})


class SchedulingPolicySpec(Part):
    """What is declared of a scheduling policy."""

    data_center: Reference
    """Data center that the policy belongs to."""

    name: Annotated[str, StringConstraints(pattern=ONE_LINE, min_length=1, max_length=128)] | None = None
    """The name shown to people, as in oVirt; `metadata.name` where none is given."""

    filters: Annotated[tuple[UnitName, ...], Field(strict=False, max_length=64)] = ()
    """Filter units in the order in which hosts are dropped; mandatory ones come before them by themselves."""

    weights: Annotated[
        tuple[WeightSpec, ...], Field(strict=False, max_length=64, json_schema_extra=by_key("unit"))
    ] = ()
    """Weight units, which rank the hosts that no filter drops."""

    balance: BalanceSpec = NO_BALANCE
    """What moves running VMs."""

    selector: Literal["RankSelector", "BasicWeighting"] = "RankSelector"
    """How weights become one choice: by ranks times factors, or by the least sum of scores times factors."""

    parameters: ParametersSpec = NO_PARAMETERS
    """Values of the units' parameters."""

    description: OneLine = ""
    """Text for people."""


class SchedulingPolicyManifest(Manifest):
    """A scheduling policy of your own; clusters name it in `schedulingPolicy`."""

    kind: Literal["SchedulingPolicy"]
    spec: SchedulingPolicySpec
