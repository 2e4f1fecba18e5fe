"""Cluster: hosts of one kind, between which VMs may move."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from reconciler.desired.schema.base import Manifest, Part
from reconciler.desired.schema.quantities import Bandwidth, Duration, between
from reconciler.desired.schema.scalars import DISPLAY_NAME, MachineType, PlainName, PolicyName, Reference
from reconciler.desired.schema.scheduling_policy import NO_PARAMETERS, ParametersSpec
from reconciler.model.quantities import parse_bandwidth


class MigrationSpec(Part):
    """Limits of live migrations inside a cluster."""

    bandwidth: Annotated[Bandwidth, between("1Mi", "1Ti", parse_bandwidth)] = Field(
        default=52, json_schema_extra={"default": "52Mi"}
    )
    """Most that one migration may send in a second, in bytes: `52Mi` is 52 MiB/s."""

    concurrent_per_host: Annotated[int, Field(ge=1, le=32)] = 2
    """How many migrations may leave or reach a host at once."""

    downtime: Annotated[Duration, between("1ms", "1m")] = Field(
        default=500, json_schema_extra={"default": "500ms"}
    )
    """How long a guest may stand still at the switch-over."""

    stall_timeout: Annotated[Duration, between("1s", "1d")] = Field(
        default=240_000, json_schema_extra={"default": "4m"}
    )
    """A migration that makes no progress for so long is aborted; the guest stays where it was."""

    seconds_per_gib: Annotated[int, Field(ge=1, le=3600)] = Field(default=64, alias="secondsPerGiB")
    """A migration may take this many seconds for each GiB of memory; then it is aborted."""


class ClusterSpec(Part):
    """What is declared of a cluster."""

    data_center: Reference
    """Data center that the cluster belongs to."""

    name: Annotated[str, StringConstraints(pattern=DISPLAY_NAME, max_length=40)] | None = None
    """The name shown to people, as in oVirt; `metadata.name` where none is given."""

    networks: Annotated[tuple[Reference, ...], Field(strict=False, max_length=1024)] = ()
    """Logical networks that every host of the cluster has."""

    cpu_model: PlainName | None = None
    """CPU model of the VMs, as libvirt names it; chosen once per VM from what all hosts can run where none is given."""

    machine_type: MachineType | None = None
    """Machine type of the VMs; chosen once per VM where none is given."""

    memory_overcommit_percent: Annotated[int, Field(ge=1, le=1000)] = 100
    """How much of a host's memory VMs may be promised: 100 is no more than there is."""

    count_threads_as_cores: bool = False
    """Whether each CPU thread of a host counts as a core when a VM's size is compared with it."""

    migration: MigrationSpec = MigrationSpec.model_validate({})
    """Limits of live migrations."""

    scheduling_policy: PolicyName = "none"
    """How VMs are placed: `none`, `evenly_distributed`, `vm_evenly_distributed`, `power_saving`, `cluster_maintenance`, or a SchedulingPolicy."""

    scheduling_parameters: ParametersSpec = NO_PARAMETERS
    """Values of parameters instead of the policy's."""


class ClusterManifest(Manifest):
    """A cluster: hosts of one CPU vendor, between which VMs may move."""

    kind: Literal["Cluster"]
    spec: ClusterSpec
