"""The scalars of manifests: names, identifiers and addresses, each with what is said when it is wrong.

A pattern is checked by pydantic's core and published in the CRDs; `EXPECTATIONS` puts each into words.
"""

import ipaddress
import re
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints
from pydantic_core import PydanticCustomError

LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
RESOURCE_NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
NAMESPACE: Final = rf"^{LABEL}$"
IDENTIFIER: Final = r"^[a-z]{2,8}(/[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?){1,2}$"
UUID: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
MAC: Final = r"^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$"
MAC_PREFIX: Final = r"^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){2}$"
LINK_NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,14}$"
FILE_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"
PLAIN_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
DISPLAY_NAME: Final = r"^[\p{L}0-9._-]+$"
DATA_CENTER_NAME: Final = r"^[0-9a-zA-Z_-]+$"
ASCII_NAME: Final = r"^[0-9a-zA-Z._-]+$"
POLICY_NAME: Final = r"^[a-z0-9]([-_.a-z0-9]*[a-z0-9])?$"
MACHINE: Final = r"^(pc|q35|pc-(q35|i440fx)-[A-Za-z0-9._-]+)$"
ONE_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
ABSOLUTE_PATH: Final = r"^/[^\x00-\x1f\x7f]*$"
MOUNT_SOURCE: Final = r"^[A-Za-z0-9/\[:][^\x00-\x1f\x7f]*$"
KEY_OF_SECRET: Final = r"^[-._a-zA-Z0-9]+$"  # noqa: S105  a pattern, no secret

EXPECTATIONS: Final[dict[str, tuple[str, str]]] = {
    RESOURCE_NAME: (
        "a name",
        "use lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit",
    ),
    NAMESPACE: (
        "the name of a namespace",
        "use lower-case letters, digits and '-', beginning and ending with a letter or digit",
    ),
    IDENTIFIER: ("an object id", "write prefix/name, such as vm/web-1"),
    UUID: ("a uuid", "write it like 6b4b7c7e-53cf-4f1b-8f52-0d1b2a3c4d5e"),
    MAC: (
        "a MAC address",
        "write six pairs of hexadecimal digits with ':' between them, such as 56:6f:1a:00:00:01",
    ),
    MAC_PREFIX: (
        "the first half of a MAC address",
        "write three pairs of hexadecimal digits with ':' between them, such as 56:6f:1a",
    ),
    LINK_NAME: (
        "the name of a network link",
        "use at most 15 letters, digits, '-' and '_', not beginning with '-'",
    ),
    FILE_NAME: (
        "a file name",
        "name the file without its directory, in letters, digits and '._+-', beginning with a letter or digit",
    ),
    PLAIN_NAME: ("a plain name", "use letters, digits and '._-', beginning with a letter or digit"),
    DISPLAY_NAME: ("a name", "use letters, digits, '.', '_' and '-'"),
    DATA_CENTER_NAME: ("a name of a data center", "use letters without accents, digits, '_' and '-'"),
    ASCII_NAME: ("a name", "use letters without accents, digits, '.', '_' and '-'"),
    POLICY_NAME: (
        "the name of a policy",
        "write such as evenly_distributed, or the name of a SchedulingPolicy",
    ),
    MACHINE: ("a machine type of x86", "write q35, pc, or a version of one such as pc-q35-7.2"),
    ONE_LINE: ("one line of text", "remove line breaks and control characters"),
    ABSOLUTE_PATH: ("an absolute path", "begin it with '/', without control characters"),
    MOUNT_SOURCE: (
        "something to mount",
        "write a path such as /srv/images, or what the file system takes, such as nfs-1.example.org:/images",
    ),
    KEY_OF_SECRET: ("a key of a secret", "use letters, digits, '.', '_' and '-'"),
}
"""What each pattern stands for, and what to write."""


def refuse(summary: str, detail: str) -> PydanticCustomError:
    """The error that a validator raises to have this summary and detail shown."""
    # The text goes in as context: braces in it must not be taken for a template.
    return PydanticCustomError("ostler", "refused", {"summary": summary, "detail": detail})


ResourceName = Annotated[str, StringConstraints(pattern=RESOURCE_NAME, max_length=63)]
Namespace = Annotated[str, StringConstraints(pattern=NAMESPACE, max_length=63)]
Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER, max_length=140)]
Reference = ResourceName
PolicyName = Annotated[str, StringConstraints(pattern=POLICY_NAME, max_length=63)]
Uuid = Annotated[str, StringConstraints(pattern=UUID, to_lower=True)]
LinkName = Annotated[str, StringConstraints(pattern=LINK_NAME)]
FileName = Annotated[str, StringConstraints(pattern=FILE_NAME, max_length=255)]
PlainName = Annotated[str, StringConstraints(pattern=PLAIN_NAME, max_length=64)]
MachineType = Annotated[str, StringConstraints(pattern=MACHINE, max_length=64)]
OneLine = Annotated[str, StringConstraints(pattern=ONE_LINE, max_length=4096)]
SecretKey = Annotated[str, StringConstraints(pattern=KEY_OF_SECRET, max_length=253)]


def _unicast(mac: str) -> str:
    if int(mac[1], 16) % 2:
        raise refuse(
            f"{mac} is a multicast address",
            "the second digit of a card's own address is even: 0, 2, 4, 6, 8, a, c or e",
        )
    if not mac.strip("0:"):
        raise refuse(f"{mac} is no address of a card", "remove the field to have an address assigned")
    return mac


def _unicast_prefix(prefix: str) -> str:
    _unicast(f"{prefix}:00:00:01")
    return prefix


Mac = Annotated[str, StringConstraints(pattern=MAC, to_lower=True), AfterValidator(_unicast)]
MacPrefix = Annotated[
    str, StringConstraints(pattern=MAC_PREFIX, to_lower=True), AfterValidator(_unicast_prefix)
]


def _normal_path(path: str) -> str:
    if any(part in ("", ".", "..") for part in path.split("/")[1:]):
        raise refuse(
            f"{path} is not in its shortest form", "write it without '.', '..', '//' and a '/' at the end"
        )
    return path


AbsolutePath = Annotated[
    str, StringConstraints(pattern=ABSOLUTE_PATH, max_length=1024), AfterValidator(_normal_path)
]


def _normal_source(source: str) -> str:
    """The path within a source is in its shortest form as well: two ways to write one place would hide a clash."""
    if not source.isprintable():
        raise refuse(f"{source!r} holds control characters", "remove them")
    server, slash, path = source.partition("/")
    if not server:
        path = path.removeprefix("/")  # //server/share
    if (path or not server) and slash and any(part in ("", ".", "..") for part in path.split("/")):
        raise refuse(
            f"{source} is not in its shortest form", "write it without '.', '..', '//' and a '/' at the end"
        )
    return source


MountSource = Annotated[
    str, StringConstraints(pattern=MOUNT_SOURCE, max_length=1024), AfterValidator(_normal_source)
]

_HOST_NAME: Final = re.compile(rf"{LABEL}(\.{LABEL})*")


def _host_address(address: str) -> str:
    lowered = address.lower()
    try:
        parsed = ipaddress.ip_address(lowered)
    except ValueError:
        last = lowered.rpartition(".")[2]
        if _HOST_NAME.fullmatch(lowered) and len(lowered) <= 253 and not last.isdigit():
            return lowered
        raise refuse(
            f"{address!r} is neither an IP address nor a host name",
            "write such as 192.0.2.11, 2001:db8::11 or h1.example.org, without scheme, brackets or port",
        ) from None
    if parsed.is_unspecified or parsed.is_multicast:
        raise refuse(
            f"{address} is not the address of one host", "give the address that the host's agent answers on"
        )
    return str(parsed)


HostAddress = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_host_address)]
