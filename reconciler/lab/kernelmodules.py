"""Which modules of a Linux kernel a lab guest needs, in the order in which they load.

`guestimage` packs them. A kernel may lack some (Debian's cloud kernel has no e1000, 8139cp and ahci): guests then
do not see such devices.
"""

import gzip
import lzma
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.lab.errors import fail

WANTED = (
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "sd_mod",
    "sr_mod",
    "ata_piix",
    "ahci",
    "virtio_net",
    "e1000",
    "e1000e",
    "8139cp",
    "virtio_balloon",
    "virtio-rng",
    "button",
    "evdev",
)
UNPACKED = Path("/var/cache/ostler/kernel")
ROOTS = (Path("/"), UNPACKED)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel image and the directory of its modules."""

    release: str
    image: Path
    modules: Path


def find_kernel(roots: Sequence[Path] = ROOTS) -> Kernel:
    """The kernel for lab guests: of those with their modules the most complete kind, then the newest.

    Debian's full kernel comes before its cloud kernel, which lacks drivers. Refuses if there is none.
    """
    found = [
        Kernel(
            image.name.removeprefix("vmlinuz-"),
            image,
            root / "lib/modules" / image.name.removeprefix("vmlinuz-"),
        )
        for root in roots
        for image in sorted((root / "boot").glob("vmlinuz-*"))
    ]
    usable = [kernel for kernel in found if (kernel.modules / "kernel").is_dir()]
    if not usable:
        raise fail(
            "no kernel image with its modules for guests",
            f"run scripts/setup, which unpacks Debian's linux-image-amd64 into {UNPACKED}",
        )
    return max(usable, key=lambda kernel: ("cloud" not in kernel.release, _release_key(kernel.release)))


def _release_key(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.replace("-", ".").split(".") if part.isdigit())


def collect_modules(directory: Path, wanted: Sequence[str] = WANTED) -> dict[str, bytes]:
    """Wanted modules and what they need, by name, in an order in which they can be loaded.

    Modules that the kernel lacks, or has built in, are left out. Dependencies are read from the modules themselves
    (`depends=` in .modinfo), because a kernel that is only unpacked has no modules.dep.
    """
    paths = {_name(path): path for path in directory.rglob("*.ko*")}
    collected: dict[str, bytes] = {}

    def collect(name: str) -> None:
        path = paths.get(name)
        if path is None or name in collected:
            return
        content = read_module(path)
        for needed in read_dependencies(content):
            collect(needed)
        collected[name] = content

    for name in wanted:
        collect(name.replace("-", "_"))
    return collected


def read_dependencies(module: bytes) -> tuple[str, ...]:
    """Names of the modules that a module needs directly."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    names = found[1].decode("ascii", "replace") if found else ""
    return tuple(name.replace("-", "_") for name in names.split(",") if name)


def _name(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def read_module(path: Path) -> bytes:
    """A module's bytes, unpacked; refuses a compression that it does not know."""
    content = path.read_bytes()
    if path.name.endswith(".ko.xz"):
        return lzma.decompress(content)
    if path.name.endswith(".ko.gz"):
        return gzip.decompress(content)
    if not path.name.endswith(".ko"):
        raise fail(f"{path}: unknown compression", "install a kernel whose modules are .ko, .ko.xz or .ko.gz")
    return content
