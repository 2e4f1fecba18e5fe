"""Disk: an image with a life of its own, which VMs attach."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from reconciler.desired.schema.base import Manifest, Part
from reconciler.desired.schema.quantities import DiskSize
from reconciler.desired.schema.scalars import ONE_LINE, Reference, Uuid


class DiskSpec(Part):
    """What is declared of a disk."""

    storage_domain: Reference
    """Storage domain that holds the image."""

    size: DiskSize
    """Size that the guest sees, whole 4 KiB. It can grow, also while the guest runs; it never shrinks."""

    format: Literal["qcow2", "raw"] = "qcow2"
    """Format of the image."""

    allocation: Literal["thin", "preallocated"] = "thin"
    """`thin`: space is taken as the guest writes; `preallocated`: all of it at once."""

    name: Annotated[str, StringConstraints(pattern=ONE_LINE, min_length=1, max_length=255)] | None = None
    """The name shown to people, oVirt's alias; `metadata.name` where none is given."""

    uuid: Uuid | None = None
    """Identity of the image, to take over an existing one; made up where none is given."""

    description: Annotated[str, StringConstraints(pattern=ONE_LINE, max_length=500)] = ""
    """Text for people."""


class DiskManifest(Manifest):
    """A disk image with a life of its own; a VM attaches it."""

    kind: Literal["Disk"]
    spec: DiskSpec
