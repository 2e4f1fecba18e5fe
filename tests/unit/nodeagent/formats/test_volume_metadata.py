"""Metadata of volumes: byte for byte as other readers of the format expect, read without trust."""

from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.formats.metadata import MetadataError
from nodeagent.formats.volumemetadata import (
    VolumeMetadata,
    decode_volume_metadata,
    encode_volume_metadata,
    read_volume_metadata,
    write_volume_metadata,
)

DOMAIN = "44444444-2222-4333-8444-555555555555"
IMAGE = "22222222-2222-4333-8444-555555555555"
VOLUME = "33333333-2222-4333-8444-555555555555"
DISK = VolumeMetadata(
    domain=DOMAIN,
    image=IMAGE,
    capacity_bytes=1 << 30,
    format="COW",
    allocation="SPARSE",
    ctime_s=1700000000,
    description="root of web-1",
)

DISK_BYTES = b"""CAP=1073741824
CTIME=1700000000
DESCRIPTION=root of web-1
DISKTYPE=DATA
DOMAIN=44444444-2222-4333-8444-555555555555
FORMAT=COW
GEN=0
IMAGE=22222222-2222-4333-8444-555555555555
LEGALITY=LEGAL
PUUID=00000000-0000-0000-0000-000000000000
SEQ=0
TYPE=SPARSE
VOLTYPE=LEAF
EOF
"""
VERSION_4 = b"""CTIME=1400000000
DESCRIPTION={"DiskAlias":"old","DiskDescription":""}
DISKTYPE=2
DOMAIN=44444444-2222-4333-8444-555555555555
FORMAT=RAW
GEN=17
IMAGE=22222222-2222-4333-8444-555555555555
LEGALITY=LEGAL
MTIME=0
PUUID=00000000-0000-0000-0000-000000000000
SIZE=2097152
TYPE=PREALLOCATED
VOLTYPE=LEAF
EOF
"""


def test_version_5_is_written_byte_for_byte() -> None:
    assert encode_volume_metadata(DISK) == DISK_BYTES


def test_what_was_written_is_read_back() -> None:
    assert decode_volume_metadata(encode_volume_metadata(DISK)) == DISK


def test_version_4_counts_blocks_and_has_no_sequence() -> None:
    assert decode_volume_metadata(VERSION_4) == VolumeMetadata(
        domain=DOMAIN,
        image=IMAGE,
        capacity_bytes=1 << 30,
        format="RAW",
        allocation="PREALLOCATED",
        ctime_s=1400000000,
        description='{"DiskAlias":"old","DiskDescription":""}',
        disk_type="2",
        generation=17,
        sequence=0,
    )


def test_the_capacity_in_bytes_goes_before_the_size_in_blocks() -> None:
    assert decode_volume_metadata(b"SIZE=1\n" + DISK_BYTES).capacity_bytes == 1 << 30


def test_lines_that_are_no_text_are_left_out_and_padding_is_ignored() -> None:
    content = DISK_BYTES.replace(b"root of web-1", b"r\xc3").ljust(512, b"\0")

    assert replace(DISK, description="") == decode_volume_metadata(content)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * 300, "x" * 210),
        ("ä" * 200, "ä" * 105),
        ("x" * 209 + "ä", "x" * 209),
        ("two\nlines\r\tLEGALITY=ILLEGAL", "two lines  LEGALITY=ILLEGAL"),
        ("nul\0and\u2028more", "nul and more"),
    ],
)
def test_a_description_is_one_line_of_at_most_210_bytes(text: str, kept: str) -> None:
    content = encode_volume_metadata(replace(DISK, description=text))

    assert len(content) <= 512
    assert decode_volume_metadata(content) == replace(DISK, description=kept)


def test_the_longest_values_fit() -> None:
    longest = replace(
        DISK,
        capacity_bytes=2**63 - 1,
        description="x" * 300,
        generation=999,
        legality="ILLEGAL",
        sequence=2**32 - 1,
        allocation="PREALLOCATED",
        type="INTERNAL",
    )

    assert len(encode_volume_metadata(longest)) <= 512


@pytest.mark.parametrize("changes", [{"generation": 1000}, {"generation": -1}, {"sequence": 2**32}])
def test_numbers_out_of_range_are_not_written(changes: dict[str, int]) -> None:
    with pytest.raises(MetadataError, match="out of range"):
        encode_volume_metadata(replace(DISK, **changes))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"CAP=1073741824\n", b""),
        (b"CAP=1073741824", b"CAP=-1"),
        (b"CAP=1073741824", b"CAP=1e9"),
        (b"CAP=1073741824", "CAP=\u0663".encode()),
        (b"CAP=1073741824", b"CAP=" + b"9" * 9999),
        (b"CAP=1073741824", b"CAP=9223372036854775808"),
        (b"FORMAT=COW", b"FORMAT=VMDK"),
        (b"LEGALITY=LEGAL", b"LEGALITY=MAYBE"),
        (b"VOLTYPE=LEAF\n", b""),
        (b"CAP=", b"NONE=" + b"#" * 100 + b"\nCAP="),
        (DISK_BYTES, b""),
        (DISK_BYTES, b"EOF\n" + DISK_BYTES),
        (DISK_BYTES, bytes(range(256)) * 2),
    ],
)
def test_odd_metadata_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(MetadataError):
        decode_volume_metadata(DISK_BYTES.replace(old, new, 1))


def test_metadata_of_a_volume_is_replaced_and_read_back(tmp_path: Path) -> None:
    (tmp_path / "images" / IMAGE).mkdir(parents=True)
    assert read_volume_metadata(tmp_path, IMAGE, VOLUME) is None

    write_volume_metadata(tmp_path, IMAGE, VOLUME, DISK)
    write_volume_metadata(tmp_path, IMAGE, VOLUME, replace(DISK, generation=1))

    assert read_volume_metadata(tmp_path, IMAGE, VOLUME) == replace(DISK, generation=1)
    assert [path.name for path in (tmp_path / "images" / IMAGE).iterdir()] == [f"{VOLUME}.meta"]


def test_a_place_without_images_tells_nothing(tmp_path: Path) -> None:
    with pytest.raises(MetadataError):
        read_volume_metadata(tmp_path, IMAGE, VOLUME)


def test_metadata_too_large_or_linked_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "images" / IMAGE
    directory.mkdir(parents=True)
    (directory / f"{VOLUME}.meta").write_bytes(DISK_BYTES + b"x" * 10_000)
    (directory / f"{IMAGE}.meta").symlink_to(f"{VOLUME}.meta")

    for volume in (VOLUME, IMAGE):
        with pytest.raises(MetadataError):
            read_volume_metadata(tmp_path, IMAGE, volume)
