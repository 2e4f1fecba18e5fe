"""Guests that the tests of the agent share, and hypothesis strategies for any guest that may be ordered."""

from pathlib import Path

from hypothesis import strategies as st

from nodeagent.guestxml.place import GuestPlace
from nodeagent.wire.guest import (
    CdromConfig,
    CpuConfig,
    DiskConfig,
    GuestConfig,
    KernelBoot,
    MemoryConfig,
    NicConfig,
    VncConfig,
)

MIB = 1024 * 1024
VM = "5f0c1c9e-65a4-5c1c-9b7c-0d2a54c1b6a1"
DATA_CENTER = "0e3f7a52-1f5a-4c39-8a8f-0a4f3d1f7c11"
MASTER = "7d9c2c5e-93a1-4f7b-8f5f-6f1f0c3f2b10"
OTHER_DOMAIN = "7d9c2c5e-93a1-4f7b-8f5f-6f1f0c3f2b11"
IMAGE = "c0a8f0de-0001-4000-8000-00000000000{}"
VOLUME = "c0a8f0de-0002-4000-8000-00000000000{}"


def place_for(directory: Path = Path("/srv/domains"), accelerator: str = "tcg") -> GuestPlace:
    return GuestPlace(
        accelerator=accelerator,
        directories={MASTER: directory / MASTER, OTHER_DOMAIN: directory / OTHER_DOMAIN},
        console_log=Path(f"/var/log/ostler/console/{VM}.log"),
        firmware_code=Path("/usr/share/OVMF/OVMF_CODE_4M.fd"),
        firmware_vars=Path("/usr/share/OVMF/OVMF_VARS_4M.fd"),
        nvram=directory / MASTER / "master" / "vms" / VM / "nvram.fd",
    )


def disk(number: int, **fields) -> DiskConfig:
    whole = {
        "name": f"disk/d{number}",
        "storage_domain": MASTER,
        "image": IMAGE.format(number),
        "volume": VOLUME.format(number),
        "format": "qcow2",
        "bus": "virtio",
    }
    return DiskConfig(**(whole | fields))


def nic(number: int, **fields) -> NicConfig:
    whole = {
        "name": f"nic{number}",
        "network": "net/lan",
        "bridge": "br0",
        "mac": f"52:54:00:00:00:0{number}",
        "model": "virtio",
    }
    return NicConfig(**(whole | fields))


def guest(**fields) -> GuestConfig:
    whole = {
        "uuid": VM,
        "object": "vm/web-1",
        "data_center": DATA_CENTER,
        "title": "web-1",
        "run": 1,
        "machine": "pc-q35-7.2",
        "cpu": CpuConfig("maximum", 1, 1, 1, 1),
        "memory": MemoryConfig(192 * MIB, 192 * MIB, 128 * MIB),
    }
    return GuestConfig(**(whole | fields))


PLAIN = guest()
SERVER = guest(
    cpu=CpuConfig("Haswell-noTSX", 1, 2, 1, 4),
    memory=MemoryConfig(1024 * MIB, 2048 * MIB, 512 * MIB),
    disks=(
        disk(1, boot_order=1),
        disk(2, bus="scsi", format="raw", storage_domain=OTHER_DOMAIN, read_only=True),
        disk(3, bus="sata"),
    ),
    cdrom=CdromConfig(MASTER, "debian-12.iso"),
    nics=(nic(1, pci="0000:01:00.0"), nic(2, model="e1000", link="down", bridge="br1", network="net/dmz")),
    vnc=VncConfig("consoles/web-1"),
    description="Front of the shop.\nAsk the shop's people.",
)
SECURE = guest(firmware="uefi", tpm=True, disks=(disk(1, boot_order=1),))
OLD_PC = guest(
    machine="pc-i440fx-7.2",
    disks=(disk(1, bus="ide", boot_order=2), disk(2, bus="ide", boot_order=1)),
    cdrom=CdromConfig(),
    nics=(nic(1, model="rtl8139"),),
    kernel=KernelBoot("/boot/vmlinuz", "/boot/initrd.img", "console=ttyS0 quiet"),
    serial=False,
    balloon=False,
    rng=False,
)

texts = st.text(max_size=60)
lines = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f\x85"), max_size=60
)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
uuids = st.uuids().map(str)
paths = st.from_regex(r"/[a-z]{1,8}/[A-Za-z0-9._ &<>'\"-]{1,20}", fullmatch=True)
object_ids = st.from_regex(r"(disk|net|vm)/[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True)
macs = st.integers(0, 2**32 - 1).map(
    lambda number: "52:54:" + ":".join(f"{number:08x}"[index : index + 2] for index in range(0, 8, 2))
)
addresses = st.builds(
    "0000:{:02x}:{:02x}.{:x}".format, st.integers(1, 30), st.integers(0, 31), st.integers(0, 7)
)


@st.composite
def cpus(draw) -> CpuConfig:
    maximum = draw(st.integers(1, 8))
    model = draw(st.sampled_from(["maximum", "host-passthrough", "qemu64"]) | names)
    return CpuConfig(
        model, draw(st.integers(1, maximum)), draw(st.integers(1, 4)), draw(st.integers(1, 2)), maximum
    )


@st.composite
def memories(draw) -> MemoryConfig:
    maximum = draw(st.integers(1, 2**22))
    current = draw(st.integers(1, maximum))
    return MemoryConfig(current * MIB, maximum * MIB, draw(st.integers(0, current)) * MIB)


@st.composite
def disk_lists(draw, pcie: bool) -> tuple[DiskConfig, ...]:
    images = draw(st.lists(uuids, max_size=6, unique=True))
    orders = draw(st.permutations(range(1, 7)))
    buses = st.sampled_from(["virtio", "scsi", "sata"] if pcie else ["virtio", "scsi", "sata", "ide"])
    return tuple(
        DiskConfig(
            name=draw(object_ids),
            storage_domain=draw(st.sampled_from([MASTER, OTHER_DOMAIN])),
            image=image,
            volume=draw(uuids),
            format=draw(st.sampled_from(["raw", "qcow2"])),
            bus=draw(buses),
            boot_order=draw(st.none() | st.just(order)),
            read_only=draw(st.booleans()),
        )
        for image, order in zip(images, orders, strict=False)
    )


@st.composite
def nic_lists(draw) -> tuple[NicConfig, ...]:
    used = draw(st.lists(macs, max_size=4, unique=True))
    return tuple(
        NicConfig(
            name=draw(names),
            network=draw(object_ids),
            bridge=draw(st.from_regex(r"[a-z][a-z0-9-]{0,14}", fullmatch=True)),
            mac=mac,
            model=draw(st.sampled_from(["virtio", "e1000", "rtl8139"])),
            link=draw(st.sampled_from(["up", "down"])),
            pci=draw(st.none() | addresses),
        )
        for mac in used
    )


cdroms = st.just(CdromConfig()) | st.builds(
    CdromConfig,
    st.sampled_from([MASTER, OTHER_DOMAIN]),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}", fullmatch=True),
)
kernels = st.builds(KernelBoot, paths, st.none() | paths, lines)


@st.composite
def guests(draw) -> GuestConfig:
    machine = draw(st.sampled_from(["pc-q35-7.2", "pc-i440fx-7.2", "pc-q35-5.2"]))
    return GuestConfig(
        uuid=draw(uuids),
        object=draw(object_ids),
        data_center=draw(uuids),
        title=draw(texts),
        run=draw(st.integers(0, 2**31)),
        machine=machine,
        cpu=draw(cpus()),
        memory=draw(memories()),
        firmware=draw(st.sampled_from(["bios", "uefi"])),
        kernel=draw(st.none() | kernels),
        disks=draw(disk_lists("q35" in machine)),
        cdrom=draw(st.none() | cdroms),
        nics=draw(nic_lists()),
        vnc=draw(st.none() | st.builds(VncConfig, st.none() | names)),
        serial=draw(st.booleans()),
        balloon=draw(st.booleans()),
        rng=draw(st.booleans()),
        tpm=draw(st.booleans()),
        description=draw(texts),
    )
