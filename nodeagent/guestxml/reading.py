"""The XML of a domain, running or not, ours or a stranger's, into what a manifest would say of it.

Everything the XML tells is taken from it, so that a change behind our back is seen; our metadata adds only
what XML has no place for. `facts.guests` and the verification of every `vm_*` order read with it.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from nodeagent.guestxml.metadata import GuestMetadata, read_metadata
from nodeagent.guestxml.place import GuestXmlError
from nodeagent.guestxml.reading_devices import (
    image_of,
    read_cdrom,
    read_disks,
    read_nics,
    strange_devices,
)
from nodeagent.guestxml.texts import as_block, as_line
from nodeagent.wire.codec import ContractError, convert, to_plain
from nodeagent.wire.guest import (
    CpuConfig,
    DiskConfig,
    Firmware,
    GuestConfig,
    KernelBoot,
    MemoryConfig,
    VncConfig,
)

NO_DATA_CENTER = "00000000-0000-0000-0000-000000000000"
UNITS = {"b": 1, "bytes": 1, "KB": 1000, "KiB": 2**10, "k": 2**10, "MiB": 2**20, "M": 2**20, "GiB": 2**30}
STRANGE_SETTINGS = (
    "maxMemory",
    "memoryBacking",
    "numatune",
    "cputune",
    "memtune",
    "blkiotune",
    "launchSecurity",
)
"""Elements of a stranger's domain that a manifest cannot express and that would be lost at its next start."""


@dataclass(frozen=True, slots=True)
class GuestReading:
    """managed: our metadata is there. gaps: what `config` cannot express; with config None it says why.

    memory_bytes: what the balloon leaves now. vcpus: plugged now. vnc_port: None unless it runs with VNC.
    targets: libvirt's name of each disk's device by image uuid.
    """

    uuid: str
    title: str
    managed: bool
    config: GuestConfig | None
    gaps: tuple[str, ...] = ()
    memory_bytes: int = 0
    vcpus: int = 0
    macs: tuple[str, ...] = ()
    vnc_port: int | None = None
    metadata: GuestMetadata | None = None
    targets: tuple[tuple[str, str], ...] = ()


def parse_domain(xml: str) -> ET.Element:
    """The document's root. Raises GuestXmlError if it is not a domain."""
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise GuestXmlError("domain XML with a document type is not libvirt's")
    try:
        root = ET.fromstring(xml)  # noqa: S314 - libvirt made it, and document types were refused above
    except ET.ParseError as error:
        raise GuestXmlError(f"domain XML cannot be parsed: {error}") from error
    if root.tag != "domain" or not root.findtext("uuid"):
        raise GuestXmlError("the document is no domain with a uuid")
    return root


def read_guest(xml: str, networks: Mapping[str, str] | None = None) -> GuestReading:
    """What a domain is. networks: logical network by bridge, for cards that our metadata does not know.

    Raises GuestXmlError if the document is not a domain; a domain that cannot be expressed has config None.
    """
    domain = parse_domain(xml)
    metadata = read_metadata(domain)
    uuid = (domain.findtext("uuid") or "").lower()
    gaps: list[str] = []
    config: GuestConfig | None = None
    try:
        config = _read_config(domain, uuid, metadata, networks or {}, gaps)
        config = convert(to_plain(config), GuestConfig)
    except (ContractError, ValueError) as error:
        config = None
        gaps.append(f"not expressible as a guest of ours: {error}")
    return GuestReading(
        uuid=uuid,
        title=(domain.findtext("title") or domain.findtext("name") or uuid)[:4096],
        managed=metadata is not None and metadata.config.uuid == uuid,
        config=config,
        gaps=tuple(gaps),
        memory_bytes=_memory(domain, "currentMemory") or _memory(domain, "memory"),
        vcpus=_vcpus(domain)[0],
        macs=_macs(domain),
        vnc_port=_vnc_port(domain),
        metadata=metadata,
        targets=_targets(domain),
    )


def _read_config(
    domain: ET.Element,
    uuid: str,
    metadata: GuestMetadata | None,
    networks: Mapping[str, str],
    gaps: list[str],
) -> GuestConfig:
    known = metadata.config if metadata is not None else _stranger(domain, uuid)
    os = domain.find("os")
    if os is None:
        raise GuestXmlError("the domain says nothing of its operating system")
    disks = read_disks(domain, known, gaps)
    if metadata is None:
        gaps.extend(_strange_settings(domain))
        disks = _boot_by_class(os, disks)
    return replace(
        known,
        uuid=uuid,
        title=_text(_title(domain, metadata), known.title, as_line),
        description=_text(domain.findtext("description") or "", known.description, as_block),
        machine=_machine(os),
        cpu=_read_cpu(domain, gaps),
        memory=MemoryConfig(
            current_bytes=_memory(domain, "currentMemory") or _memory(domain, "memory"),
            maximum_bytes=_memory(domain, "memory"),
            guaranteed_bytes=known.memory.guaranteed_bytes,
        ),
        firmware=_firmware(os),
        kernel=_kernel(os),
        disks=disks,
        cdrom=read_cdrom(domain, gaps),
        nics=read_nics(domain, known, networks, gaps),
        vnc=_vnc(domain, known),
        serial=domain.find("devices/serial") is not None,
        balloon=_has_balloon(domain),
        rng=domain.find("devices/rng") is not None,
        tpm=domain.find("devices/tpm") is not None,
    )


def _stranger(domain: ET.Element, uuid: str) -> GuestConfig:
    """What our metadata would say of a domain that somebody else made."""
    name = domain.findtext("title") or domain.findtext("name") or uuid
    slug = re.sub(r"[^a-z0-9.-]+", "-", name.lower())[:63].strip("-.") or "unnamed"
    current = _memory(domain, "currentMemory") or _memory(domain, "memory")
    return GuestConfig(
        uuid=uuid,
        object=f"vm/{slug}",
        data_center=NO_DATA_CENTER,
        title=domain.findtext("name") or uuid,
        run=0,
        machine="",
        cpu=CpuConfig("", 1, 1, 1, 1),
        memory=MemoryConfig(current, current, current),
    )


def _title(domain: ET.Element, metadata: GuestMetadata | None) -> str:
    title = domain.findtext("title") or ""
    return title if title or metadata is not None else domain.findtext("name") or ""


def _text(live: str, known: str, written: Callable[[str], str]) -> str:
    return known if written(known) == live else live


def _machine(os: ET.Element) -> str:
    element = os.find("type")
    return "" if element is None else element.get("machine", "")


def _firmware(os: ET.Element) -> Firmware:
    loader = os.find("loader")
    pflash = loader is not None and loader.get("type") == "pflash"
    return "uefi" if pflash or os.get("firmware") == "efi" else "bios"


def _kernel(os: ET.Element) -> KernelBoot | None:
    kernel = os.findtext("kernel")
    if kernel is None:
        return None
    return KernelBoot(kernel, os.findtext("initrd"), os.findtext("cmdline") or "")


def _read_cpu(domain: ET.Element, gaps: list[str]) -> CpuConfig:
    current, maximum = _vcpus(domain)
    topology = domain.find("cpu/topology")
    cores = threads = 1
    if topology is not None:
        cores, threads = _number(topology.get("cores"), 1), _number(topology.get("threads"), 1)
        if _number(topology.get("dies"), 1) > 1:
            gaps.append("cpu: several dies a socket")
    unit = max(1, cores * threads)
    if current % unit:
        gaps.append(f"cpu: {current} vCPUs are not whole sockets of {unit}")
    return CpuConfig(_cpu_model(domain), max(1, current // unit), cores, threads, max(1, maximum // unit))


def _cpu_model(domain: ET.Element) -> str:
    cpu = domain.find("cpu")
    if cpu is None:
        return "qemu64"  # what QEMU takes when nothing is said
    mode = cpu.get("mode", "custom")
    return mode if mode in ("maximum", "host-passthrough") else cpu.findtext("model") or mode


def _vcpus(domain: ET.Element) -> tuple[int, int]:
    element = domain.find("vcpu")
    if element is None:
        return 1, 1
    maximum = _number(element.text, 1)
    return _number(element.get("current"), maximum), maximum


def _memory(domain: ET.Element, tag: str) -> int:
    element = domain.find(tag)
    if element is None:
        return 0
    return _number(element.text, 0) * UNITS.get(element.get("unit", "KiB"), 2**10)


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else default


def _vnc(domain: ET.Element, known: GuestConfig) -> VncConfig | None:
    if domain.find("devices/graphics[@type='vnc']") is None:
        return None
    return known.vnc or VncConfig()


def _vnc_port(domain: ET.Element) -> int | None:
    graphics = domain.find("devices/graphics[@type='vnc']")
    port = 0 if graphics is None else _number(graphics.get("port"), 0)
    return port or None


def _has_balloon(domain: ET.Element) -> bool:
    balloon = domain.find("devices/memballoon")
    return balloon is not None and balloon.get("model") != "none"


def _macs(domain: ET.Element) -> tuple[str, ...]:
    return tuple(mac.get("address", "").lower() for mac in domain.findall("devices/interface/mac"))


def _targets(domain: ET.Element) -> tuple[tuple[str, str], ...]:
    found = []
    for disk in domain.findall("devices/disk[@device='disk']"):
        target = disk.find("target")
        image = image_of(disk)
        if target is not None and image is not None:
            found.append((image, target.get("dev", "")))
    return tuple(found)


def _boot_by_class(os: ET.Element, disks: tuple[DiskConfig, ...]) -> tuple[DiskConfig, ...]:
    """A stranger's `<boot dev='hd'/>` means the first disk."""
    if not disks or os.find("boot[@dev='hd']") is None or any(disk.boot_order for disk in disks):
        return disks
    return (replace(disks[0], boot_order=1), *disks[1:])


def _strange_settings(domain: ET.Element) -> list[str]:
    settings = [f"setting {tag}" for tag in STRANGE_SETTINGS if domain.find(tag) is not None]
    kind = domain.find("os/type")
    if kind is not None and (kind.text != "hvm" or kind.get("arch") != "x86_64"):
        settings.append(f"architecture {kind.get('arch')} {kind.text}")
    return settings + strange_devices(domain)
