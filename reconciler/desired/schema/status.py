"""Status: what the controller writes back. Published in the CRDs; ignored when manifests are read."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from reconciler.desired.schema.base import Part, by_key
from reconciler.desired.schema.scalars import Uuid


class Condition(Part):
    """One aspect of an object, as Kubernetes writes conditions."""

    type: Annotated[str, StringConstraints(max_length=316)]
    """Name of the aspect, such as `Ready` or `Blocked`."""

    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""

    reason: Annotated[str, StringConstraints(max_length=1024)]
    """Why, in one word for programs."""

    message: Annotated[str, StringConstraints(max_length=32768)]
    """Why, for people."""

    last_transition_time: datetime
    """When the status last changed."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the manifest that this speaks of."""


class Status(Part):
    """What was observed of an object."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the manifest that was last planned."""

    conditions: list[Condition] | None = Field(default=None, json_schema_extra=by_key("type"))
    """Aspects of the object."""


class HostStatus(Status):
    """What was observed of a host."""

    uuid: Uuid | None = None
    """Identity of the host."""


class DiskStatus(Status):
    """What was observed of a disk."""

    uuid: Uuid | None = None
    """Identity of the image."""


class VirtualMachineStatus(Status):
    """What was observed of a VM."""

    uuid: Uuid | None = None
    """Identity of the VM."""

    power: Literal["Running", "Paused", "Stopped", "Unknown"] | None = None
    """Whether the VM runs; Unknown: a host that may run it does not answer."""

    host: str | None = None
    """Host that runs the VM."""

    pending: list[str] | None = None
    """Fields whose new value takes effect at the next start."""
