"""The metadata of a volume (`<volume>.meta`): version 5 is written, versions 3 to 5 are read.

Sorted lines `KEY=value` and `EOF`, at most 512 bytes. Versions 3 and 4 give the capacity as SIZE in blocks of 512
bytes, version 5 as CAP in bytes, with SEQ. Operations on disks write it; the facts of storage read it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from nodeagent.formats.files import open_directory, read_file, replace_file
from nodeagent.formats.metadata import MetadataError, number, one_line, split_lines, word

VolumeFormat = Literal["RAW", "COW"]
VolumeAllocation = Literal["PREALLOCATED", "SPARSE", "UNKNOWN"]
VolumeType = Literal["LEAF", "INTERNAL", "SHARED"]
Legality = Literal["LEGAL", "ILLEGAL", "FAKE"]

BLANK_PARENT = "00000000-0000-0000-0000-000000000000"
DESCRIPTION_LIMIT_BYTES = 210
METADATA_SIZE_BYTES = 512
GENERATIONS = 1000
LARGEST_SEQUENCE = 2**32 - 1
LARGEST_CAPACITY = 2**63 - 1
READ_LIMIT_BYTES = 8192
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class VolumeMetadata:
    """What storage says of one volume. ctime_s: seconds since 1970; generation grows with each operation on it."""

    domain: str
    image: str
    capacity_bytes: int
    format: VolumeFormat
    allocation: VolumeAllocation
    ctime_s: int
    legality: Legality = "LEGAL"
    type: VolumeType = "LEAF"
    parent: str = BLANK_PARENT
    description: str = ""
    disk_type: str = "DATA"
    generation: int = 0
    sequence: int = 0


def encode_volume_metadata(metadata: VolumeMetadata) -> bytes:
    """The file's content in version 5; a longer description is cut. Raises MetadataError for odd values."""
    if not 0 <= metadata.generation < GENERATIONS or not 0 <= metadata.sequence <= LARGEST_SEQUENCE:
        raise MetadataError("volume metadata: generation or sequence is out of range")
    values = {
        "CAP": metadata.capacity_bytes,
        "CTIME": metadata.ctime_s,
        "DESCRIPTION": one_line(metadata.description, DESCRIPTION_LIMIT_BYTES),
        "DISKTYPE": metadata.disk_type,
        "DOMAIN": metadata.domain,
        "FORMAT": metadata.format,
        "GEN": metadata.generation,
        "IMAGE": metadata.image,
        "LEGALITY": metadata.legality,
        "PUUID": metadata.parent,
        "SEQ": metadata.sequence,
        "TYPE": metadata.allocation,
        "VOLTYPE": metadata.type,
    }
    lines = [f"{key}={value}" for key, value in sorted(values.items())]
    content = "".join(f"{line}\n" for line in [*lines, "EOF"]).encode()
    if len(content) > METADATA_SIZE_BYTES:
        raise MetadataError(f"volume metadata would need {len(content)} of {METADATA_SIZE_BYTES} bytes")
    return content


def decode_volume_metadata(content: bytes) -> VolumeMetadata:
    """The file's content as a value. Raises MetadataError: cleared, missing or odd values."""
    values = split_lines(_lines_before_end(content))
    if "NONE" in values:
        raise MetadataError("volume metadata was cleared: the volume is being removed")
    capacity = number(values, "CAP") if "CAP" in values else number(values, "SIZE") * _BLOCK
    if capacity > LARGEST_CAPACITY:
        raise MetadataError("volume metadata: capacity is out of range")
    return VolumeMetadata(
        domain=word(values, "DOMAIN"),
        image=word(values, "IMAGE"),
        capacity_bytes=capacity,
        format=cast(VolumeFormat, word(values, "FORMAT", get_args(VolumeFormat))),
        allocation=cast(VolumeAllocation, word(values, "TYPE", get_args(VolumeAllocation))),
        ctime_s=number(values, "CTIME", 0),
        legality=cast(Legality, word(values, "LEGALITY", get_args(Legality))),
        type=cast(VolumeType, word(values, "VOLTYPE", get_args(VolumeType))),
        parent=values.get("PUUID", BLANK_PARENT),
        description=values.get("DESCRIPTION", ""),
        disk_type=word(values, "DISKTYPE"),
        generation=number(values, "GEN", 0),
        sequence=number(values, "SEQ", 0),
    )


def _lines_before_end(content: bytes) -> list[str]:
    """Lines up to `EOF`; a line that is not text is left out, for older writers cut descriptions amid a character."""
    lines = []
    for raw in content.split(b"\n"):
        if raw.startswith(b"EOF"):
            break
        try:
            lines.append(raw.decode())
        except UnicodeDecodeError:
            continue
    return lines


def read_volume_metadata(place: Path, image: str, volume: str) -> VolumeMetadata | None:
    """The metadata of a volume; None if image or file surely do not exist. Raises MetadataError otherwise.

    `image` names the directory below `images`, which for a removed image is not the image's uuid.
    """
    try:
        with open_directory(place, "images"):
            pass
        try:
            with open_directory(place, "images", image) as directory:
                content = read_file(directory, f"{volume}.meta", READ_LIMIT_BYTES)
        except FileNotFoundError:
            return None
    except OSError as error:
        raise _unreachable(place, image, volume, error) from error
    try:
        return decode_volume_metadata(content)
    except MetadataError as error:
        raise MetadataError(f"volume {image}/{volume} in {place}: {error.summary}", error.action) from error


def write_volume_metadata(place: Path, image: str, volume: str, metadata: VolumeMetadata) -> None:
    """Replace a volume's metadata, durably and at once. Raises MetadataError, and then the old is still there."""
    content = encode_volume_metadata(metadata)
    try:
        with open_directory(place, "images", image) as directory:
            replace_file(directory, f"{volume}.meta", content)
    except OSError as error:
        raise _unreachable(place, image, volume, error) from error


def _unreachable(place: Path, image: str, volume: str, error: OSError) -> MetadataError:
    return MetadataError(
        f"metadata of volume {image}/{volume} in {place} cannot be reached: {error.strerror or error}",
        "see to the storage domain, then try again",
    )
