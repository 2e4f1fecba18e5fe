"""Metadata of storage domains: byte for byte as other readers of the format expect, read without trust."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.formats.domainlayout import find_strangers, make_domain
from nodeagent.formats.domainmetadata import (
    DomainMetadata,
    decode_domain_metadata,
    encode_domain_metadata,
    read_domain_metadata,
)
from nodeagent.formats.metadata import MetadataError

DOMAIN = "44444444-2222-4333-8444-555555555555"
CENTER = "99999999-2222-4333-8444-555555555555"
MAIN = DomainMetadata(
    uuid=DOMAIN, type="POSIXFS", role="Master", description="main", pools=(CENTER,), remote_path="/srv/main"
)

# The seals were computed with sha1sum over the lines put together by hand.
MAIN_BYTES = b"""ALIGNMENT=1048576
BLOCK_SIZE=512
CLASS=Data
DESCRIPTION=main
IOOPTIMEOUTSEC=10
LEASERETRIES=3
LEASETIMESEC=60
LOCKPOLICY=
LOCKRENEWALINTERVALSEC=5
POOL_UUID=99999999-2222-4333-8444-555555555555
REMOTE_PATH=/srv/main
ROLE=Master
SDUUID=44444444-2222-4333-8444-555555555555
TYPE=POSIXFS
VERSION=5
_SHA_CKSUM=5ea5c86819756ed9ab83d543dc50cd9db05242f5
"""
VERSION_4 = b"""CLASS=Data
DESCRIPTION=old one
IOOPTIMEOUTSEC=10
LEASERETRIES=3
LEASETIMESEC=60
LOCKPOLICY=
LOCKRENEWALINTERVALSEC=5
POOL_UUID=99999999-2222-4333-8444-555555555555,88888888-2222-4333-8444-555555555555
REMOTE_PATH=nas:/export
ROLE=Regular
SDUUID=44444444-2222-4333-8444-555555555555
TYPE=NFS
VERSION=4
_SHA_CKSUM=39514082009a14da1cf0614892bfc7a14a60fa5f
"""


def test_version_5_is_written_byte_for_byte() -> None:
    assert encode_domain_metadata(MAIN) == MAIN_BYTES


def test_text_beyond_ascii_is_sealed_as_character_references() -> None:
    metadata = replace(MAIN, type="LOCALFS", role="Regular", description="Zürich €", pools=())

    content = encode_domain_metadata(metadata)

    assert content.endswith(b"_SHA_CKSUM=f447d8e93a53e5894b6e1a25e4539461a1dd6daf\n")
    assert "DESCRIPTION=Zürich €\n".encode() in content


def test_what_was_written_is_read_back() -> None:
    assert decode_domain_metadata(encode_domain_metadata(MAIN)) == MAIN


def test_version_4_is_read_with_the_sizes_it_implies() -> None:
    metadata = decode_domain_metadata(VERSION_4)

    assert metadata == DomainMetadata(
        uuid=DOMAIN,
        type="NFS",
        role="Regular",
        description="old one",
        pools=(CENTER, "88888888-2222-4333-8444-555555555555"),
        remote_path="nas:/export",
        version=4,
        block_size=512,
        alignment=1024 * 1024,
    )


def test_a_domain_without_seal_is_read() -> None:
    content = b"".join(line for line in VERSION_4.splitlines(True) if not line.startswith(b"_SHA"))

    assert decode_domain_metadata(content.replace(b"VERSION=4", b"VERSION=3")).version == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"ROLE=Master", b"ROLE=Regular", "seal"),
        (b"DESCRIPTION=main\n", b"", "seal"),
        (b"_SHA_CKSUM=5e", b"_SHA_CKSUM=5f", "seal"),
        (b"main", b"\xff\xfe", "not text"),
    ],
)
def test_tampering_is_found(old: bytes, new: bytes, message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        decode_domain_metadata(MAIN_BYTES.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"VERSION=5", b"VERSION=6"),
        (b"VERSION=5", b"VERSION=2"),
        (b"VERSION=5", b"VERSION=five"),
        (b"VERSION=5", b"VERSION=" + b"9" * 5000),
        (b"ROLE=Master", b"ROLE=King"),
        (b"CLASS=Data", b"CLASS="),
        (b"TYPE=POSIXFS", b"TYPE=TAPE"),
        (b"SDUUID=", b"UUID="),
    ],
)
def test_odd_values_are_refused(old: bytes, new: bytes) -> None:
    unsealed = MAIN_BYTES[: MAIN_BYTES.index(b"_SHA_CKSUM")]

    with pytest.raises(MetadataError):
        decode_domain_metadata(unsealed.replace(old, new))


def test_older_versions_are_not_written() -> None:
    with pytest.raises(MetadataError, match="only 5"):
        encode_domain_metadata(replace(MAIN, version=4))


def test_a_long_name_with_line_breaks_becomes_one_short_line() -> None:
    content = encode_domain_metadata(replace(MAIN, description="a\nROLE=Regular " + "ö" * 80))

    metadata = decode_domain_metadata(content)
    assert metadata.role == "Master"
    assert metadata.description == "a ROLE=Regular " + "ö" * 35


def test_a_new_domain_has_the_known_layout(tmp_path: Path) -> None:
    make_domain(tmp_path, MAIN)

    domain = tmp_path / DOMAIN
    found = {str(path.relative_to(domain)) for path in domain.rglob("*")}
    assert found == {
        "dom_md",
        "dom_md/ids",
        "dom_md/inbox",
        "dom_md/leases",
        "dom_md/metadata",
        "dom_md/outbox",
        "dom_md/xleases",
        "images",
        "images/11111111-1111-1111-1111-111111111111",
        "master",
        "master/disks",
        "master/tasks",
        "master/vms",
    }
    assert (domain / "dom_md/metadata").read_bytes() == MAIN_BYTES
    sizes = {path.name: path.stat().st_size for path in (domain / "dom_md").iterdir()}
    assert sizes.pop("metadata") == len(MAIN_BYTES)
    assert sizes == {"ids": 0, "leases": 0, "xleases": 0, "inbox": 16 << 20, "outbox": 16 << 20}
    for path in domain.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o660), path
        if os.geteuid() == 0:
            assert (path.stat().st_uid, path.stat().st_gid) == (36, 36)
    assert [path.name for path in tmp_path.iterdir()] == [DOMAIN]
    assert read_domain_metadata(domain) == MAIN


@pytest.mark.parametrize("missing", ["dom_md", "dom_md/metadata"])
def test_a_place_without_metadata_is_no_domain(tmp_path: Path, missing: str) -> None:
    if missing == "dom_md/metadata":
        (tmp_path / "dom_md").mkdir()

    with pytest.raises(MetadataError, match="cannot be read"):
        read_domain_metadata(tmp_path)


def test_metadata_that_is_a_link_is_refused(tmp_path: Path) -> None:
    make_domain(tmp_path, MAIN)
    path = tmp_path / DOMAIN / "dom_md" / "metadata"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(MetadataError, match="regular"):
        read_domain_metadata(tmp_path / DOMAIN)


def test_an_empty_place_has_no_strangers(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    assert find_strangers(tmp_path, DOMAIN) == ()


def test_strangers_are_named(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    make_domain(tmp_path, MAIN)

    assert find_strangers(tmp_path, DOMAIN) == ("holiday.jpg",)
    assert find_strangers(tmp_path, CENTER) == (DOMAIN, "holiday.jpg")


def test_a_domain_that_lost_its_metadata_is_not_taken_for_half_made(tmp_path: Path) -> None:
    make_domain(tmp_path, MAIN)
    (tmp_path / DOMAIN / "dom_md" / "metadata").unlink()
    assert find_strangers(tmp_path, DOMAIN) == ()

    (tmp_path / DOMAIN / "images" / CENTER).mkdir()
    assert find_strangers(tmp_path, DOMAIN) == (f"{DOMAIN}/images/{CENTER}",)


def test_a_domain_whose_making_died_is_completed_by_a_repeat(tmp_path: Path, interrupter: object) -> None:
    step, killed = 0, True
    while killed:
        root = tmp_path / str(step)
        root.mkdir()
        step += 1
        killed = interrupter.kill_at(step, lambda root=root: make_domain(root, MAIN))  # type: ignore[attr-defined]
        made = (root / DOMAIN / "dom_md" / "metadata").exists()
        if made:
            assert read_domain_metadata(root / DOMAIN) == MAIN
        assert find_strangers(root, DOMAIN) == ()
        make_domain(root, MAIN)
        assert read_domain_metadata(root / DOMAIN) == MAIN
        assert (root / DOMAIN / "dom_md" / "outbox").stat().st_size == 16 << 20
    assert step > 50
