"""A GuestConfig into the XML of a transient libvirt domain.

`vm_start` and `vm_reboot` create the domain from it. Reading it back gives the same configuration.
"""

import xml.etree.ElementTree as ET

from nodeagent.guestxml.devices import cdrom_element, choose_target, disk_element, nic_element
from nodeagent.guestxml.metadata import GuestMetadata, metadata_element
from nodeagent.guestxml.place import GuestPlace, GuestXmlError, iso_file, volume_file
from nodeagent.guestxml.texts import as_block, as_line, is_line
from nodeagent.wire.guest import CpuConfig, GuestConfig

NEVER_VALID = "1970-01-01T00:00:01"
LOCKED_PASSWORD = "locked"  # noqa: S105 - never valid: it expired in 1970
"""VNC without a password would be open; with one that has expired it refuses everybody until one is set."""

SPARE_ROOT_PORTS = 8
"""Free PCIe slots for plugging cards and disks into a running q35 guest."""

KIB = 1024


def write_domain(config: GuestConfig, place: GuestPlace) -> str:
    """The domain of a guest as this host runs it. Raises GuestXmlError for what XML or the host cannot express."""
    domain = ET.Element("domain", {"type": "kvm" if place.accelerator == "kvm" else "qemu"})
    _add(domain, "name", config.uuid)
    _add(domain, "uuid", config.uuid)
    if as_line(config.title):
        _add(domain, "title", as_line(config.title))
    if as_block(config.description):
        _add(domain, "description", as_block(config.description))
    ET.SubElement(domain, "metadata").append(metadata_element(GuestMetadata(config)))
    _add(domain, "memory", str(config.memory.maximum_bytes // KIB), unit="KiB")
    _add(domain, "currentMemory", str(config.memory.current_bytes // KIB), unit="KiB")
    _add_vcpus(domain, config.cpu)
    domain.append(_os(config, place))
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    domain.append(_cpu(config.cpu))
    domain.append(_clock())
    _add(domain, "on_poweroff", "destroy")
    _add(domain, "on_reboot", "restart")
    _add(domain, "on_crash", "destroy")
    domain.append(_devices(config, place))
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode")


def _add(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text


def _add_vcpus(domain: ET.Element, cpu: CpuConfig) -> None:
    """Sockets beyond the first can be plugged and unplugged; QEMU does so one thread at a time."""
    attributes = {"placement": "static"}
    if cpu.vcpus != cpu.maximum_vcpus:
        attributes["current"] = str(cpu.vcpus)
    _add(domain, "vcpu", str(cpu.maximum_vcpus), **attributes)
    if cpu.maximum_sockets == 1:
        return
    vcpus = ET.SubElement(domain, "vcpus")
    for number in range(cpu.maximum_vcpus):
        enabled = "yes" if number < cpu.vcpus else "no"
        pluggable = "yes" if number >= cpu.cores * cpu.threads else "no"
        ET.SubElement(vcpus, "vcpu", {"id": str(number), "enabled": enabled, "hotpluggable": pluggable})


def _os(config: GuestConfig, place: GuestPlace) -> ET.Element:
    element = ET.Element("os")
    _add(element, "type", "hvm", arch="x86_64", machine=config.machine)
    if config.firmware == "uefi":
        if place.nvram is None:
            raise GuestXmlError("a UEFI guest needs a place for its variables on a storage domain")
        _add(element, "loader", str(place.firmware_code), readonly="yes", type="pflash")
        _add(element, "nvram", str(place.nvram), template=str(place.firmware_vars))
    if config.kernel is not None:
        _add(element, "kernel", _exact(config.kernel.kernel, "kernel"))
        if config.kernel.initrd is not None:
            _add(element, "initrd", _exact(config.kernel.initrd, "initrd"))
        if config.kernel.cmdline:
            _add(element, "cmdline", _exact(config.kernel.cmdline, "cmdline"))
    return element


def _exact(text: str, field: str) -> str:
    if not is_line(text):
        raise GuestXmlError(f"{field} has line breaks or control characters, which libvirt cannot pass on")
    return text


def _cpu(cpu: CpuConfig) -> ET.Element:
    if cpu.model in ("maximum", "host-passthrough"):
        element = ET.Element("cpu", {"mode": cpu.model, "check": "none", "migratable": "on"})
    else:
        element = ET.Element("cpu", {"mode": "custom", "match": "exact", "check": "partial"})
        _add(element, "model", cpu.model, fallback="forbid")
    topology = {"sockets": cpu.maximum_sockets, "cores": cpu.cores, "threads": cpu.threads}
    ET.SubElement(element, "topology", {key: str(value) for key, value in topology.items()})
    return element


def _clock() -> ET.Element:
    """UTC, lost ticks caught up as oVirt sets them, and no HPET, which costs time in every guest."""
    clock = ET.Element("clock", {"offset": "utc"})
    ET.SubElement(clock, "timer", {"name": "rtc", "tickpolicy": "catchup"})
    ET.SubElement(clock, "timer", {"name": "pit", "tickpolicy": "delay"})
    ET.SubElement(clock, "timer", {"name": "hpet", "present": "no"})
    return clock


def _devices(config: GuestConfig, place: GuestPlace) -> ET.Element:
    devices = ET.Element("devices")
    _add_disks(devices, config, place)
    _add_controllers(devices, config)
    devices.extend(nic_element(nic) for nic in config.nics)
    if config.serial:
        _add_serial(devices, place)
    _add_console(devices, config)
    if config.tpm:
        tpm = ET.SubElement(devices, "tpm", {"model": "tpm-crb"})
        ET.SubElement(tpm, "backend", {"type": "emulator", "version": "2.0", "persistent_state": "yes"})
    _add_balloon(devices, config)
    if config.rng:
        rng = ET.SubElement(devices, "rng", {"model": "virtio"})
        _add(rng, "backend", "/dev/urandom", model="random")
    ET.SubElement(devices, "panic", {"model": "isa"})
    return devices


def _add_disks(devices: ET.Element, config: GuestConfig, place: GuestPlace) -> None:
    targets: list[str] = []
    for disk in config.disks:
        targets.append(choose_target(disk.bus, targets))
        devices.append(disk_element(disk, volume_file(place.directories, disk), targets[-1]))
    if config.cdrom is not None:
        last = max((disk.boot_order or 0 for disk in config.disks), default=0)
        devices.append(cdrom_element(iso_file(place.directories, config.cdrom), last + 1))


def _add_controllers(devices: ET.Element, config: GuestConfig) -> None:
    """virtio-scsi always, so that a SCSI disk can be plugged; USB only for the tablet that VNC wants."""
    ET.SubElement(devices, "controller", {"type": "scsi", "index": "0", "model": "virtio-scsi"})
    usb = "none" if config.vnc is None else "qemu-xhci"
    ET.SubElement(devices, "controller", {"type": "usb", "index": "0", "model": usb})
    if not is_pcie(config.machine):
        return
    ET.SubElement(devices, "controller", {"type": "pci", "index": "0", "model": "pcie-root"})
    # one port a card and virtio disk; scsi, usb, balloon and rng take up to four
    ports = len(config.nics) + sum(disk.bus == "virtio" for disk in config.disks) + 4 + SPARE_ROOT_PORTS
    for index in range(1, ports + 1):
        attributes = {"type": "pci", "index": str(index), "model": "pcie-root-port"}
        ET.SubElement(devices, "controller", attributes)


def is_pcie(machine: str) -> bool:
    """Whether a machine type has PCI Express (q35), and so no IDE."""
    return "q35" in machine


def _add_serial(devices: ET.Element, place: GuestPlace) -> None:
    serial = ET.SubElement(devices, "serial", {"type": "pty"})
    ET.SubElement(serial, "log", {"file": str(place.console_log), "append": "on"})
    ET.SubElement(serial, "target", {"port": "0"})


def _add_console(devices: ET.Element, config: GuestConfig) -> None:
    if config.vnc is None:
        return
    ET.SubElement(devices, "input", {"type": "tablet", "bus": "usb"})
    devices.append(graphics_element(None))
    video = ET.SubElement(devices, "video")
    ET.SubElement(video, "model", {"type": "vga"})


def graphics_element(password: str | None) -> ET.Element:
    """VNC on the loopback with this password, or refusing everybody without one."""
    attributes = {"type": "vnc", "port": "-1", "autoport": "yes", "listen": "127.0.0.1"}
    attributes["passwd"] = LOCKED_PASSWORD if password is None else password
    if password is None:
        attributes["passwdValidTo"] = NEVER_VALID
    return ET.Element("graphics", attributes)


def _add_balloon(devices: ET.Element, config: GuestConfig) -> None:
    balloon = ET.SubElement(devices, "memballoon", {"model": "virtio" if config.balloon else "none"})
    if config.balloon:
        ET.SubElement(balloon, "stats", {"period": "10"})
