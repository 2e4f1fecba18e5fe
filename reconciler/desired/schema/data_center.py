"""DataCenter: the root of clusters, networks and storage."""

import re
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from reconciler.desired.schema.base import Manifest, Part
from reconciler.desired.schema.quantities import Duration, between
from reconciler.desired.schema.scalars import DATA_CENTER_NAME, MacPrefix, Uuid

LONGEST_NAME: Final = 40
CENTER_NAMES: Final = f"letters, digits, '-' and '_', at most {LONGEST_NAME}"


def is_center_name(name: str) -> bool:
    """Whether oVirt takes this as the name of a data center, so that it is one here."""
    return len(name) <= LONGEST_NAME and re.fullmatch(DATA_CENTER_NAME, name) is not None


class DataCenterSpec(Part):
    """What is declared of a data center."""

    uuid: Uuid
    """Identity of the data center; all identities inside it follow from it. `ostler init` writes one; it never changes."""

    name: Annotated[str, StringConstraints(pattern=DATA_CENTER_NAME, max_length=LONGEST_NAME)] | None = None
    """The name shown to people, as in oVirt; `metadata.name` where none is given."""

    mac_prefix: MacPrefix = "56:6f:1a"
    """First three bytes of the MAC addresses that are assigned to network cards."""

    removed_disks_retention: Annotated[Duration, between("0s", "3650d")] = Field(
        default=7 * 24 * 3_600_000, json_schema_extra={"default": "7d"}
    )
    """How long a removed disk can be restored before its bytes are deleted; and what else a removed VM kept."""


class DataCenterManifest(Manifest):
    """A data center: the root of clusters, logical networks and storage domains."""

    kind: Literal["DataCenter"]
    spec: DataCenterSpec
