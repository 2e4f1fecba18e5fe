"""LogicalNetwork: what VMs plug their network cards into."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from reconciler.desired.schema.base import Manifest, Part
from reconciler.desired.schema.scalars import ONE_LINE, LinkName, OneLine, Reference


class LogicalNetworkSpec(Part):
    """What is declared of a logical network."""

    data_center: Reference
    """Data center that the network belongs to."""

    name: Annotated[str, StringConstraints(pattern=ONE_LINE, min_length=1, max_length=256)] | None = None
    """The name shown to people, as in oVirt; `metadata.name` where none is given."""

    bridge: LinkName | None = None
    """Bridge that realises the network on each host; `metadata.name`, or a short name made from it, where none is given."""

    mtu: Annotated[int, Field(ge=68, le=65535)] = 1500
    """Largest packet in bytes."""

    description: OneLine = ""
    """Text for people."""


class LogicalNetworkManifest(Manifest):
    """A logical network, realised as a bridge on every host of the clusters that list it."""

    kind: Literal["LogicalNetwork"]
    spec: LogicalNetworkSpec
