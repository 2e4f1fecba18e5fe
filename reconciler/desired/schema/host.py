"""Host: a machine that runs VMs."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from reconciler.desired.schema.base import Manifest, Part
from reconciler.desired.schema.scalars import ASCII_NAME, HostAddress, LinkName, Reference, Uuid


class NetworkAttachmentSpec(Part):
    """A logical network on a host."""

    network: Reference
    """Logical network, one of those that the host's cluster lists."""

    nic: LinkName | None = None
    """Network interface that carries the network outside; without one the network stays inside the host."""


class HostSpec(Part):
    """What is declared of a host."""

    cluster: Reference
    """Cluster that the host belongs to."""

    address: HostAddress
    """IP address or host name that the host's agent answers on."""

    port: Annotated[int, Field(ge=1, le=65535)] = 54330
    """Port of the host's agent."""

    name: Annotated[str, StringConstraints(pattern=ASCII_NAME, max_length=255)] | None = None
    """The name shown to people, as in oVirt; `metadata.name` where none is given."""

    uuid: Uuid | None = None
    """Identity of the host; follows from the data center and the host's name where none is given."""

    maintenance: bool = False
    """Whether the host is to be free of VMs: those that can move are migrated away, none starts on it."""

    networks: Annotated[tuple[NetworkAttachmentSpec, ...], Field(strict=False, max_length=1024)] = ()
    """How networks leave the host; a network of the cluster that is not listed stays inside the host."""


class HostManifest(Manifest):
    """A hypervisor host with a node agent."""

    kind: Literal["Host"]
    spec: HostSpec
