"""The metadata of a storage domain (`dom_md/metadata`): version 5 is written, versions 3 to 5 are read.

Sorted lines `KEY=value`, sealed by `_SHA_CKSUM`: the SHA-1 of all lines without their ends, in ASCII with XML
character references. Creating a domain writes it last; whoever connects one trusts nothing before it was read.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from nodeagent.formats.files import open_directory, read_file
from nodeagent.formats.metadata import MetadataError, number, one_line, split_lines, word

DomainType = Literal["NFS", "FCP", "ISCSI", "LOCALFS", "CIFS", "POSIXFS", "GLUSTERFS"]
DomainRole = Literal["Master", "Regular"]
DomainClass = Literal["Data", "Iso", "Backup"]

VERSIONS = (3, 4, 5)
DESCRIPTION_LIMIT = 50
METADATA_LIMIT_BYTES = 64 * 1024
DEFAULT_BLOCK_SIZE = 512
DEFAULT_ALIGNMENT = 1024 * 1024
_CHECKSUM = "_SHA_CKSUM"


@dataclass(frozen=True, slots=True)
class DomainMetadata:
    """What a storage domain says of itself. pools: uuids of the data centers it is attached to (one, or none).

    block_size and alignment in bytes; intervals and times in seconds, as sanlock and its predecessor take them.
    """

    uuid: str
    type: DomainType
    role: DomainRole
    description: str
    pools: tuple[str, ...]
    remote_path: str
    domain_class: DomainClass = "Data"
    version: int = 5
    block_size: int = DEFAULT_BLOCK_SIZE
    alignment: int = DEFAULT_ALIGNMENT
    lock_policy: str = ""
    lock_renewal_interval_s: int = 5
    lease_time_s: int = 60
    io_operation_timeout_s: int = 10
    lease_retries: int = 3


def encode_domain_metadata(metadata: DomainMetadata) -> bytes:
    """The file's content. Raises MetadataError for another version than 5: older ones are only read."""
    if metadata.version != 5:
        raise MetadataError(f"storage domain metadata of version {metadata.version} is not written, only 5")
    values = {
        "ALIGNMENT": metadata.alignment,
        "BLOCK_SIZE": metadata.block_size,
        "CLASS": metadata.domain_class,
        "DESCRIPTION": _description(metadata.description),
        "IOOPTIMEOUTSEC": metadata.io_operation_timeout_s,
        "LEASERETRIES": metadata.lease_retries,
        "LEASETIMESEC": metadata.lease_time_s,
        "LOCKPOLICY": metadata.lock_policy,
        "LOCKRENEWALINTERVALSEC": metadata.lock_renewal_interval_s,
        "POOL_UUID": ",".join(metadata.pools),
        "REMOTE_PATH": metadata.remote_path,
        "ROLE": metadata.role,
        "SDUUID": metadata.uuid,
        "TYPE": metadata.type,
        "VERSION": metadata.version,
    }
    lines = [f"{key}={value}" for key, value in sorted(values.items())]
    lines.append(f"{_CHECKSUM}={_checksum(lines)}")
    return "".join(f"{line}\n" for line in lines).encode()


def _description(text: str) -> str:
    return one_line(text, len(text.encode()))[:DESCRIPTION_LIMIT].strip()


def _checksum(lines: list[str]) -> str:
    seal = hashlib.sha1(usedforsecurity=False)
    for line in lines:
        seal.update(line.encode("ascii", "xmlcharrefreplace"))
    return seal.hexdigest()


def decode_domain_metadata(content: bytes) -> DomainMetadata:
    """The file's content as a value. Raises MetadataError: broken seal, unknown version, missing or odd values."""
    try:
        lines = [line for line in content.decode().split("\n") if line]
    except UnicodeDecodeError as error:
        raise MetadataError("storage domain metadata is not text") from error
    values = split_lines(lines)
    _check_seal(lines, values.get(_CHECKSUM))
    version = number(values, "VERSION")
    if version not in VERSIONS:
        raise MetadataError(f"storage domain metadata has version {version}; versions 3 to 5 can be read")
    return DomainMetadata(
        uuid=word(values, "SDUUID"),
        type=cast(DomainType, word(values, "TYPE", get_args(DomainType))),
        role=cast(DomainRole, word(values, "ROLE", get_args(DomainRole))),
        description=values.get("DESCRIPTION", ""),
        pools=tuple(pool.strip() for pool in values.get("POOL_UUID", "").split(",") if pool.strip()),
        remote_path=values.get("REMOTE_PATH", ""),
        domain_class=cast(DomainClass, word(values, "CLASS", get_args(DomainClass))),
        version=version,
        block_size=number(values, "BLOCK_SIZE", DEFAULT_BLOCK_SIZE),
        alignment=number(values, "ALIGNMENT", DEFAULT_ALIGNMENT),
        lock_policy=values.get("LOCKPOLICY", ""),
        lock_renewal_interval_s=number(values, "LOCKRENEWALINTERVALSEC", 5),
        lease_time_s=number(values, "LEASETIMESEC", 60),
        io_operation_timeout_s=number(values, "IOOPTIMEOUTSEC", 10),
        lease_retries=number(values, "LEASERETRIES", 3),
    )


def _check_seal(lines: list[str], declared: str | None) -> None:
    if declared is None:  # old domains may lack it
        return
    sealed = [line for line in lines if not line.startswith(f"{_CHECKSUM}=")]
    if _checksum(sealed) != declared:
        raise MetadataError(
            "the seal of the storage domain metadata is broken: it was changed by hand, or damaged",
            "restore dom_md/metadata from a backup",
        )


def read_domain_metadata(place: Path) -> DomainMetadata:
    """The metadata of the domain in this directory. Raises MetadataError if it cannot be read or is damaged."""
    try:
        with open_directory(place, "dom_md") as directory:
            content = read_file(directory, "metadata", METADATA_LIMIT_BYTES)
    except OSError as error:
        raise MetadataError(
            f"storage domain metadata in {place} cannot be read: {error.strerror or error}",
            "see to the storage domain, then try again",
        ) from error
    return decode_domain_metadata(content)
