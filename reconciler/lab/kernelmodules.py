"""Which modules of a Linux kernel a lab guest needs, in the order in which they load.

`guestimage` packs them. A kernel may lack some (Debian's cloud kernel has no e1000, 8139cp and ahci): guests then
do not see such devices.
"""

import gzip
import lzma
from pathlib import Path, PurePosixPath

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
_SUFFIXES = (".ko", ".ko.xz", ".ko.gz")


def find_kernel(boot: Path, modules: Path) -> tuple[str, Path]:
    """Release and image of the kernel for lab guests: the newest Debian cloud kernel, else the newest.

    Refuses a machine without a kernel image that has its modules.
    """
    found = [
        (path.name.removeprefix("vmlinuz-"), path)
        for path in sorted(boot.glob("vmlinuz-*"))
        if (modules / path.name.removeprefix("vmlinuz-") / "modules.dep").exists()
    ]
    if not found:
        raise fail(
            f"no kernel image with modules in {boot}",
            "install linux-image-cloud-amd64: lab guests run that kernel",
        )
    return max(found, key=lambda kernel: ("cloud" in kernel[0], _release_key(kernel[0])))


def _release_key(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.replace("-", ".").split(".") if part.isdigit())


def order_modules(dependencies: str, wanted: tuple[str, ...] = WANTED) -> tuple[str, ...]:
    """Paths (below the kernel's module directory) of the wanted modules, each after what it needs.

    `dependencies` is modules.dep, whose lines name a module and all it needs, the first to load last. Unknown
    modules are left out.
    """
    needs = {}
    for line in dependencies.splitlines():
        module, _, rest = line.partition(":")
        needs[_name(module)] = (module, rest.split())
    ordered: dict[str, None] = {}
    for name in wanted:
        module, needed = needs.get(_name(name), ("", []))
        ordered.update(dict.fromkeys((*reversed(needed), module) if module else ()))
    return tuple(ordered)


def _name(module: str) -> str:
    name = PurePosixPath(module).name
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        name = name.removesuffix(suffix)
    return name.replace("-", "_")


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
