"""Disk images by the real qemu-img: made, grown, never shrunk, never trusted."""

import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

from nodeagent.drivers.command import CommandFailedError, CommandTimeoutError
from nodeagent.drivers.qemuimg import (
    ImageError,
    ImageFormat,
    check_image,
    create_image,
    is_open_elsewhere,
    measure_image,
    read_image_info,
    resize_image,
)
from nodeagent.errors import DriverError

MIB = 1024 * 1024
FORMATS: tuple[ImageFormat, ...] = ("raw", "qcow2")


def qemu_img(*arguments: str) -> None:
    subprocess.run(["qemu-img", *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("preallocated", [False, True])
@pytest.mark.parametrize("image_format", FORMATS)
def test_an_image_is_made_with_its_size_and_allocation(
    tmp_path: Path, image_format: ImageFormat, preallocated: bool
) -> None:
    path = tmp_path / "volume"
    create_image(path, image_format, 16 * MIB, preallocated, 20_000)

    info = read_image_info(path, image_format)
    assert info.virtual_bytes == 16 * MIB
    assert (info.actual_bytes >= 16 * MIB) == preallocated


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    path.write_bytes(b"precious")

    with pytest.raises(ImageError, match="there already"):
        create_image(path, "raw", MIB, False, 20_000)
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("image_format", FORMATS)
def test_an_image_grows_and_keeps_its_contents(tmp_path: Path, image_format: ImageFormat) -> None:
    path, content = tmp_path / "volume", tmp_path / "content"
    content.write_bytes(os.urandom(MIB))
    qemu_img("convert", "-f", "raw", "-O", image_format, str(content), str(path))

    resize_image(path, image_format, 8 * MIB, 20_000)

    qemu_img("convert", "-f", image_format, "-O", "raw", str(path), str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content.read_bytes() + bytes(7 * MIB)
    assert read_image_info(path, image_format).virtual_bytes == 8 * MIB


@pytest.mark.parametrize("image_format", FORMATS)
def test_an_image_never_shrinks(tmp_path: Path, image_format: ImageFormat) -> None:
    path = tmp_path / "volume"
    create_image(path, image_format, 8 * MIB, False, 20_000)

    with pytest.raises(ImageError, match="would shrink"):
        resize_image(path, image_format, 8 * MIB - 4096, 20_000)
    resize_image(path, image_format, 8 * MIB, 20_000)
    assert read_image_info(path, image_format).virtual_bytes == 8 * MIB


def test_a_backing_file_that_metadata_does_not_know_is_refused(tmp_path: Path) -> None:
    shutil.copy("/etc/hostname", tmp_path / "secret")
    path = tmp_path / "volume"
    qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", str(tmp_path / "secret"), str(path), "1M")

    for action in (
        lambda: read_image_info(path, "qcow2"),
        lambda: read_image_info(path, "qcow2", "other-parent"),
        lambda: resize_image(path, "qcow2", 8 * MIB, 20_000),
        lambda: check_image(path),
        lambda: measure_image(path, "qcow2", "qcow2"),
    ):
        with pytest.raises(ImageError, match="is based on"):
            action()


def test_a_parent_beside_the_image_is_known_by_its_bare_name(tmp_path: Path) -> None:
    create_image(tmp_path / "parent", "qcow2", MIB, False, 20_000)
    subprocess.run(
        ["qemu-img", "create", "-f", "qcow2", "-F", "qcow2", "-b", "parent", "child", "2M"],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )

    assert read_image_info(tmp_path / "child", "qcow2", "parent").virtual_bytes == 2 * MIB
    with pytest.raises(ImageError):
        read_image_info(tmp_path / "parent", "qcow2", "child")


def test_an_external_data_file_is_refused(tmp_path: Path) -> None:
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path}/elsewhere", str(tmp_path / "volume"), "1M")

    with pytest.raises(ImageError, match="another file"):
        read_image_info(tmp_path / "volume", "qcow2")


def test_raw_contents_that_look_like_qcow2_stay_raw(tmp_path: Path) -> None:
    qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", "/etc/hostname", str(tmp_path / "volume"), "1M")

    info = read_image_info(tmp_path / "volume", "raw")
    assert 0 <= info.virtual_bytes - (tmp_path / "volume").stat().st_size < 512


def broken(path: Path, at: int, value: bytes) -> Path:
    create_image(path, "qcow2", MIB, False, 20_000)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(value)
    return path


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, b"VMDK"),
        (4, struct.pack(">I", 9)),
        (20, struct.pack(">I", 63)),
        (20, struct.pack(">I", 0)),
        (24, struct.pack(">Q", 2**63)),
        (32, struct.pack(">I", 2)),
        (36, struct.pack(">I", 0xFFFFFFFF)),
        (8, struct.pack(">QI", 2**64 - 1, 2**32 - 1)),
        (100, struct.pack(">I", 2**31)),
    ],
)
@pytest.mark.timeout(60)
def test_damaged_headers_are_errors_in_bounded_time(tmp_path: Path, at: int, value: bytes) -> None:
    with pytest.raises(DriverError):
        read_image_info(broken(tmp_path / "volume", at, value), "qcow2")


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "missing", "empty"])
@pytest.mark.timeout(20)
def test_what_is_no_image_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "volume"
    match kind:
        case "link":
            create_image(tmp_path / "other", "qcow2", MIB, False, 20_000)
            path.symlink_to(tmp_path / "other")
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "empty":
            path.touch()
        case _:
            pass

    with pytest.raises(ImageError):
        read_image_info(path, "qcow2")


def test_a_check_counts_damage(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    create_image(path, "qcow2", MIB, False, 20_000)
    assert check_image(path).corruptions == 0
    assert check_image(path).end_bytes > 0

    with path.open("r+b") as file:  # the first refcount block says that nothing is used
        file.seek(2 * 65536)
        file.write(bytes(16))
    assert check_image(path).corruptions > 0


def test_measuring_counts_what_is_used(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    create_image(path, "raw", 64 * MIB, False, 20_000)

    assert measure_image(path, "raw", "qcow2") < 2 * MIB


def test_an_image_in_use_is_seen_and_not_resized(tmp_path: Path) -> None:
    """A real QEMU has the image open, paused before its first instruction."""
    path = tmp_path / "volume"
    create_image(path, "qcow2", MIB, False, 20_000)
    assert not is_open_elsewhere(path)
    guest = subprocess.Popen(
        [
            *("qemu-system-x86_64", "-S", "-display", "none", "-m", "64", "-nodefaults", "-accel", "tcg"),
            *("-drive", f"file={path},format=qcow2,if=virtio", "-monitor", "none", "-serial", "none"),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not is_open_elsewhere(path) and time.monotonic() < deadline:
            assert guest.poll() is None
            time.sleep(0.05)
        assert is_open_elsewhere(path)
        assert read_image_info(path, "qcow2").virtual_bytes == MIB
        with pytest.raises(CommandFailedError, match="lock"):
            resize_image(path, "qcow2", 2 * MIB, 20_000)
    finally:
        guest.kill()
        guest.wait()
    assert not is_open_elsewhere(path)


def test_making_an_image_can_be_cancelled(tmp_path: Path) -> None:
    with pytest.raises(CommandTimeoutError, match="cancelled"):
        create_image(tmp_path / "volume", "raw", 64 * MIB, False, 20_000, cancelled=lambda: True)
