"""The lab guests' kernel and initramfs, built from the machine's packages into a cache; the same bytes each time.

`lifecycle` puts them where hosts see them: /usr/share/ostler/guest/{vmlinuz,vmlinux,initrd}; vmlinux starts faster.
"""

import hashlib
import os
import shutil
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from reconciler.lab.cpio import Entry, character_device, file, make_directory, pack, program
from reconciler.lab.errors import fail
from reconciler.lab.kernelmodules import ROOTS, collect_modules, find_kernel
from reconciler.lab.kernelpayload import unpack_kernel

PT_INTERP = 3
_DIRECTORIES = ("bin", "dev", "etc", "etc/acpi", "etc/acpi/PWRF", "lib", "lib/modules", "proc", "sys", "tmp")
_POWER_BUTTON = b"#!/bin/sh\nsync\nexec poweroff -f\n"


@dataclass(frozen=True, slots=True)
class GuestImage:
    """What a guest boots: an x86-64 kernel image, packed and unpacked, and an uncompressed initramfs."""

    kernel: Path
    unpacked: Path
    initrd: Path
    release: str


def default_cache() -> Path:
    """Where built images are kept: $XDG_CACHE_HOME/ostler, else ~/.cache/ostler."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostler"


def build_guest_image(cache: Path, roots: Sequence[Path] = ROOTS) -> GuestImage:
    """The guest image for the machine's kernel, made unless the cache has it.

    Refuses a machine without a kernel image with modules, or without a static busybox.
    """
    kernel = find_kernel(roots)
    initrd = pack(_entries(kernel.modules))
    digest = hashlib.sha256(initrd + f"{kernel.release} unpacked".encode()).hexdigest()[:16]
    directory = cache / f"guest-{digest}"
    image = GuestImage(directory / "vmlinuz", directory / "vmlinux", directory / "initrd", kernel.release)
    if not image.unpacked.exists():
        _write(image, kernel.image, initrd)
    return image


def _entries(modules: Path) -> list[Entry]:
    loaded = collect_modules(modules)
    init = (files("reconciler.lab") / "guest-init.sh").read_bytes()
    return [
        *(make_directory(name) for name in _DIRECTORIES),
        character_device("dev/console", 5, 1),
        program("bin/busybox", _static_busybox()),
        program("etc/acpi/PWRF/00000080", _POWER_BUTTON),
        program("init", init),
        file("lib/modules/order", "".join(f"{name}.ko\n" for name in loaded).encode()),
        *(file(f"lib/modules/{name}.ko", content) for name, content in loaded.items()),
    ]


def _static_busybox() -> bytes:
    path = shutil.which("busybox")
    content = Path(path).read_bytes() if path else b""
    if not is_static(content):
        raise fail("no static busybox", "install busybox-static: lab guests run it")
    return content


def is_static(program: bytes) -> bool:
    """Whether this is a 64-bit ELF program that names no dynamic loader (no PT_INTERP header)."""
    if len(program) < 64 or program[:5] != b"\x7fELF\x02":
        return False
    (table,) = struct.unpack_from("<Q", program, 0x20)
    size, count = struct.unpack_from("<HH", program, 0x36)
    types = (struct.unpack_from("<I", program, table + number * size)[0] for number in range(count))
    return all(kind != PT_INTERP for kind in types)


def _write(image: GuestImage, kernel: Path, initrd: bytes) -> None:
    target = image.kernel.parent
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".guest-") as staging:
        new = Path(staging) / "new"
        new.mkdir()
        (new / "initrd").write_bytes(initrd)
        shutil.copyfile(kernel, new / "vmlinuz")
        (new / "vmlinux").write_bytes(unpack_kernel(kernel.read_bytes()))
        try:
            new.rename(target)
        except OSError:  # another process made the same image meanwhile
            if not image.unpacked.exists():
                raise
