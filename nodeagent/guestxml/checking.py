"""What is wrong with a GuestConfig before anything is touched: every fault at once, each with what to change.

The `check` of start and reboot orders refuses with these.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from nodeagent.guestxml.texts import is_line
from nodeagent.guestxml.writing import is_pcie
from nodeagent.wire.guest import GuestConfig

MIB = 1024 * 1024
IDE_DISKS = 4


def find_faults(config: GuestConfig) -> tuple[str, ...]:
    """Faults that libvirt or QEMU would refuse later, or take otherwise than meant; empty if there is none."""
    return (*_cpu_faults(config), *_memory_faults(config), *_disk_faults(config), *_other_faults(config))


def _cpu_faults(config: GuestConfig) -> Iterator[str]:
    cpu = config.cpu
    if min(cpu.sockets, cpu.cores, cpu.threads) < 1:
        yield "sockets, cores and threads must be at least 1"
    if cpu.sockets > cpu.maximum_sockets:
        yield f"{cpu.sockets} sockets are more than the maximum of {cpu.maximum_sockets}"


def _memory_faults(config: GuestConfig) -> Iterator[str]:
    memory = config.memory
    for name, size in (("current", memory.current_bytes), ("maximum", memory.maximum_bytes)):
        if size % MIB or not size:
            yield f"{name} memory must be whole MiB and not 0"
    if memory.current_bytes > memory.maximum_bytes:
        yield "current memory is above the maximum"
    if not config.balloon and memory.current_bytes != memory.maximum_bytes:
        yield "without a balloon the current memory must be the maximum"


def _disk_faults(config: GuestConfig) -> Iterator[str]:
    orders = [disk.boot_order for disk in config.disks if disk.boot_order is not None]
    if 0 in orders:
        yield "boot orders count from 1"
    yield from (f"boot order {order} is given twice" for order in _repeated(orders))
    yield from (
        f"image {image} is attached twice" for image in _repeated(disk.image for disk in config.disks)
    )
    buses = Counter(disk.bus for disk in config.disks)
    if buses["ide"] and is_pcie(config.machine):
        yield f"machine {config.machine} has no IDE: use virtio, scsi or sata"
    if buses["ide"] > IDE_DISKS:
        yield f"{buses['ide']} IDE disks are more than {IDE_DISKS}"
    if any(disk.read_only and disk.bus in ("ide", "sata") for disk in config.disks):
        yield "QEMU has no read-only IDE or SATA disk: use virtio or scsi"


def _other_faults(config: GuestConfig) -> Iterator[str]:
    yield from (f"MAC address {mac} is given twice" for mac in _repeated(nic.mac for nic in config.nics))
    yield from (
        f"PCI address {pci} is given twice" for pci in _repeated(nic.pci for nic in config.nics if nic.pci)
    )
    if config.cdrom is not None and (config.cdrom.file is None) != (config.cdrom.storage_domain is None):
        yield "a CD needs both its storage domain and its file, an empty drive neither"
    kernel = config.kernel
    if kernel is not None and not all(map(is_line, (kernel.kernel, kernel.initrd or "", kernel.cmdline))):
        yield "kernel, initrd and cmdline must be without line breaks and control characters"


def _repeated(values: Iterable[str | int]) -> list[str | int]:
    return [value for value, count in Counter(values).items() if count > 1]
