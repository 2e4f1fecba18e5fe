"""Checked scalar types of the contract: whatever crosses the network has one of these shapes."""

from typing import Annotated

from msgspec import Meta

# `$` alone would let a line break follow.
UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$(?!\n)"

Uuid = Annotated[str, Meta(pattern=UUID_PATTERN)]
"""A lower-case UUID."""

ObjectId = Annotated[
    str, Meta(pattern=r"^[a-z]{2,8}(/[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?){1,2}$(?!\n)", max_length=140)
]
"""prefix/name or prefix/namespace/name, as reconciler.model.names writes it."""

Mac = Annotated[str, Meta(pattern=r"^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$(?!\n)")]
"""A lower-case unicast MAC address."""

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")]
"""A plain name: no slash, no white space, does not begin with a dash or a dot."""

LinkName = Annotated[str, Meta(min_length=1, max_length=15, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$(?!\n)")]
"""A Linux network link's name (IFNAMSIZ is 16 with the final zero byte)."""

FileName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$(?!\n)")]
"""One path component, never `.` or `..`."""

AbsolutePath = Annotated[str, Meta(pattern=r"^/[^\x00-\x1f]*$(?!\n)", max_length=1024)]
"""An absolute path without control characters; drivers resolve and confine it before use."""

MountSource = Annotated[str, Meta(pattern=r"^[A-Za-z0-9/\[:][^\x00-\x1f\x7f]*$(?!\n)", max_length=1024)]
"""What is mounted: an absolute path, or what the file system's type takes (`server:/export`); never like an option."""

Bytes = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Milliseconds = Annotated[int, Meta(ge=0, le=2**53)]
Count = Annotated[int, Meta(ge=0, le=2**31)]
Text = Annotated[str, Meta(max_length=4096)]
