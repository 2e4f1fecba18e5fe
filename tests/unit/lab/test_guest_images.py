import lzma
import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.lab.cpio import character_device, file, make_directory, pack, program
from reconciler.lab.errors import LabError
from reconciler.lab.guestimage import is_static
from reconciler.lab.kernelmodules import collect_modules, find_kernel


def make_kernel(root: Path, release: str) -> Path:
    modules = root / "lib/modules" / release / "kernel"
    modules.mkdir(parents=True)
    (root / "boot").mkdir(exist_ok=True)
    (root / "boot" / f"vmlinuz-{release}").write_text(release)
    return modules


def module(*needs: str) -> bytes:
    return b"\x7fELF\0license=GPL\0depends=" + ",".join(needs).encode() + b"\0name=x\0"


def test_an_archive_is_what_cpio_reads(tmp_path: Path) -> None:
    entries = [
        make_directory("etc"),
        file("etc/name", b"h\n"),
        program("run", b"abc"),
        character_device("null", 1, 3),
    ]
    done = subprocess.run(
        ["busybox", "cpio", "-t", "-v"], input=pack(entries), capture_output=True, check=True
    )
    listed = [line.split() for line in done.stdout.decode().splitlines()]
    assert [(row[0], row[-1]) for row in listed] == [
        ("drwxr-xr-x", "etc"),
        ("-rw-r--r--", "etc/name"),
        ("-rwxr-xr-x", "run"),
        ("crw-------", "null"),
    ]


def test_the_same_files_give_the_same_archive() -> None:
    assert pack([file("a", b"1")]) == pack([file("a", b"1")])
    assert pack([file("a", b"1")]) != pack([file("a", b"2")])


def test_the_full_kernel_comes_before_the_cloud_kernel_and_the_newest_before_others(tmp_path: Path) -> None:
    for release in ("6.1.0-9-amd64", "6.1.0-56-amd64", "6.1.0-60-cloud-amd64"):
        make_kernel(tmp_path, release)
    assert find_kernel([tmp_path]).release == "6.1.0-56-amd64"


def test_a_kernel_without_modules_is_not_taken(tmp_path: Path) -> None:
    make_kernel(tmp_path, "6.1.0-1-amd64")
    (tmp_path / "boot/vmlinuz-6.9.0-1-amd64").touch()
    assert find_kernel([tmp_path / "none", tmp_path]).release == "6.1.0-1-amd64"


def test_no_kernel_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="scripts/setup"):
        find_kernel([tmp_path])


def test_modules_come_after_what_they_need(tmp_path: Path) -> None:
    kernel = make_kernel(tmp_path, "6")
    (kernel / "virtio-blk.ko").write_bytes(module("virtio", "virtio_ring"))
    (kernel / "virtio.ko").write_bytes(module("virtio_ring"))
    (kernel / "virtio_ring.ko").write_bytes(module())
    found = collect_modules(kernel, ["virtio_blk", "not_there", "virtio"])
    assert list(found) == ["virtio_ring", "virtio", "virtio_blk"]


def test_compressed_modules_are_unpacked(tmp_path: Path) -> None:
    kernel = make_kernel(tmp_path, "6")
    (kernel / "a.ko.xz").write_bytes(lzma.compress(module()))
    assert collect_modules(kernel, ["a"]) == {"a": module()}


def test_an_unknown_compression_is_refused(tmp_path: Path) -> None:
    kernel = make_kernel(tmp_path, "6")
    (kernel / "a.ko.zst").write_bytes(b"x")
    with pytest.raises(LabError, match="unknown compression"):
        collect_modules(kernel, ["a"])


def test_a_static_program_is_told_from_one_with_a_loader() -> None:
    shell, busybox = shutil.which("sh"), shutil.which("busybox")
    assert shell
    assert busybox
    assert not is_static(Path(shell).read_bytes())
    assert is_static(Path(busybox).read_bytes())
    assert not is_static(b"#!/bin/sh\n")
    assert not is_static(b"")
