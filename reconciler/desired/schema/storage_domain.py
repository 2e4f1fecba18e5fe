"""StorageDomain: a place that holds disks."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from reconciler.desired.schema.base import Manifest, Part
from reconciler.desired.schema.quantities import Memory
from reconciler.desired.schema.scalars import DISPLAY_NAME, MountSource, OneLine, PlainName, Reference, Uuid


class StorageDomainSpec(Part):
    """What is declared of a storage domain."""

    data_center: Reference
    """Data center that the storage domain belongs to."""

    type: Literal["posixfs", "localfs"]
    """`posixfs`: a file system that every host mounts; `localfs`: a directory of one host."""

    path: MountSource
    """posixfs: what is mounted, such as `/srv/images` or `nfs-1.example.org:/images`; localfs: the directory."""

    role: Literal["data"] = "data"
    """What the storage domain is for: `data` holds disks."""

    name: Annotated[str, StringConstraints(pattern=DISPLAY_NAME, max_length=50)] | None = None
    """The name shown to people, as in oVirt; `metadata.name` where none is given."""

    uuid: Uuid | None = None
    """Identity of the storage domain, to take over an existing one; follows from the data center and the name otherwise."""

    vfs_type: PlainName | None = None
    """posixfs: the file system's type as `mount -t` takes it; `none` for a bind mount."""

    mount_options: OneLine = ""
    """posixfs: options as `mount -o` takes them."""

    host: Reference | None = None
    """localfs: the host that has the directory."""

    description: OneLine = ""
    """Text for people."""

    critical_space: Memory = Field(default=5 * 2**30, json_schema_extra={"default": "5Gi"})
    """Free space below which no disk is made or grown here."""

    warning_space_percent: Annotated[int, Field(ge=0, le=100)] = 10
    """Free space, in percent, below which a warning is given."""


class StorageDomainManifest(Manifest):
    """A storage domain: a place that holds disks."""

    kind: Literal["StorageDomain"]
    spec: StorageDomainSpec
