"""The lab guests' kernel and initramfs, built from the machine's packages into a cache; the same bytes each time.

`lifecycle` puts them where hosts see them: /usr/share/ostler/guest/{vmlinuz,initrd}.
"""

import hashlib
import os
import shutil
import struct
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath

from reconciler.lab.cpio import Entry, character_device, directory, file, pack, program
from reconciler.lab.errors import fail
from reconciler.lab.kernelmodules import find_kernel, order_modules, read_module

BOOT = Path("/boot")
MODULES = Path("/lib/modules")
PT_INTERP = 3
_DIRECTORIES = ("bin", "dev", "etc", "etc/acpi", "etc/acpi/PWRF", "lib", "lib/modules", "proc", "sys", "tmp")
_POWER_BUTTON = b"#!/bin/sh\nsync\nexec poweroff -f\n"


@dataclass(frozen=True, slots=True)
class GuestImage:
    """What a guest boots: an x86-64 kernel image and an uncompressed initramfs."""

    kernel: Path
    initrd: Path
    release: str


def default_cache() -> Path:
    """Where built images are kept: $XDG_CACHE_HOME/ostler, else ~/.cache/ostler."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostler"


def build_guest_image(cache: Path, *, boot: Path = BOOT, modules: Path = MODULES) -> GuestImage:
    """The guest image for the machine's kernel, made unless the cache has it.

    Refuses a machine without a kernel image with modules, or without a static busybox.
    """
    release, kernel = find_kernel(boot, modules)
    initrd = pack(_entries(modules / release))
    digest = hashlib.sha256(initrd + release.encode()).hexdigest()[:16]
    image = GuestImage(cache / f"guest-{digest}" / "vmlinuz", cache / f"guest-{digest}" / "initrd", release)
    if not image.kernel.exists():
        _write(image, kernel, initrd)
    return image


def _entries(modules: Path) -> list[Entry]:
    paths = order_modules((modules / "modules.dep").read_text())
    names = [PurePosixPath(path).name.partition(".ko")[0] + ".ko" for path in paths]
    init = (files("reconciler.lab") / "guest-init.sh").read_bytes()
    return [
        *(directory(name) for name in _DIRECTORIES),
        character_device("dev/console", 5, 1),
        program("bin/busybox", _static_busybox()),
        program("etc/acpi/PWRF/00000080", _POWER_BUTTON),
        program("init", init),
        file("lib/modules/order", "".join(f"{name}\n" for name in names).encode()),
        *(
            file(f"lib/modules/{n}", read_module(modules / path))
            for n, path in zip(names, paths, strict=True)
        ),
    ]


def _static_busybox() -> bytes:
    path = shutil.which("busybox")
    content = Path(path).read_bytes() if path else b""
    if not _is_static(content):
        raise fail("no static busybox", "install busybox-static: lab guests run it")
    return content


def _is_static(program: bytes) -> bool:
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
        try:
            new.rename(target)
        except OSError:  # another process made the same image meanwhile
            if not image.kernel.exists():
                raise
