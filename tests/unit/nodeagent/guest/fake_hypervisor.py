"""The one fake of the hypervisor: domains in memory, with the methods and answers of the real one.

`tests/lab/test_guest_fake.py` holds it to what the real one does. `fail` makes the next call of a method raise.
"""

import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field

from nodeagent.drivers.libvirt_errors import GuestNotFoundError
from nodeagent.drivers.libvirt_values import (
    GuestEvent,
    GuestRow,
    GuestSample,
    HypervisorVersion,
    JobProgress,
    MigrationRequest,
)
from nodeagent.errors import DriverError
from nodeagent.guestxml.metadata import NAMESPACE
from nodeagent.guestxml.reading import parse_domain


@dataclass
class FakeDomain:
    xml: str
    state: str = "running"
    pause_reason: str = ""
    persistent: bool = False
    process: bool = True
    job: JobProgress = field(default_factory=lambda: JobProgress("none"))
    deaf: bool = False
    least_bytes: int = 0
    usable_bytes: int | None = None


class FakeCall:
    """A migration under way: it ends when the test says so."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.error: DriverError | None = None

    def wait(self, limit_ms: int) -> bool:
        return self.over.wait(limit_ms / 1000)

    def result(self) -> None:
        if self.error is not None:
            raise self.error


class FakeHypervisor:
    def __init__(self) -> None:
        self.domains: dict[str, FakeDomain] = {}
        self.accelerator = "tcg"
        self.migrations: dict[str, object] = {}
        self.outgoing = threading.BoundedSemaphore(2)
        self.calls: list[str] = []
        self.fail: dict[str, DriverError] = {}
        self.migration = FakeCall()
        self.on_migrate: Callable[[FakeDomain], None] = lambda domain: None
        self.sizes: dict[str, int] = {}
        self._listeners: list[Callable[[GuestEvent], None]] = []

    def listen(self, listener: Callable[[GuestEvent], None]) -> None:
        self._listeners.append(listener)

    def tell(self, kind: str, vm: str, detail: str = "") -> None:
        for listener in self._listeners:
            listener(GuestEvent(kind, vm, detail))

    def wait_until(self, reached, limit_ms, cancelled) -> bool:
        end = time.monotonic() + min(limit_ms, 300) / 1000
        while not reached():
            if time.monotonic() > end or cancelled():
                return False
            time.sleep(0.005)
        return True

    def list_guests(self) -> tuple[GuestRow, ...]:
        self._called("list_guests")
        return tuple(
            GuestRow(
                uuid=vm,
                name=parse_domain(domain.xml).findtext("name") or "",
                running=True,
                state=domain.state,
                pause_reason=domain.pause_reason,
                persistent=domain.persistent,
                xml=domain.xml,
            )
            for vm, domain in sorted(self.domains.items())
        )

    def sample_guests(self) -> tuple[GuestSample, ...]:
        return tuple(GuestSample(vm, 0, 0) for vm in sorted(self.domains))

    def list_processes(self) -> dict[str, int]:
        self._called("list_processes")
        return {vm: 4000 + index for index, vm in enumerate(sorted(self.domains)) if self.domains[vm].process}

    def domain_xml(self, vm: str) -> str:
        return self._domain("domain_xml", vm).xml

    migration_xml = domain_xml

    def is_running(self, vm: str) -> bool:
        self._called("is_running")
        return vm in self.domains

    def is_persistent(self, vm: str) -> bool:
        return self._domain("is_persistent", vm).persistent

    def guest_state(self, vm: str) -> tuple[str, str]:
        domain = self._domain("guest_state", vm)
        return domain.state, domain.pause_reason

    def create(self, vm: str, xml: str) -> None:
        self._called("create")
        if vm in self.domains:
            raise DriverError(f"cannot start guest {vm}: it runs")
        self.domains[vm] = FakeDomain(_with_addresses(xml))
        self.tell("started", vm)

    def destroy(self, vm: str) -> None:
        self._called("destroy")
        if self.domains.pop(vm, None) is not None:
            self.tell("stopped", vm, "destroyed")

    def shut_down(self, vm: str) -> None:
        if not self._domain("shut_down", vm).deaf:
            del self.domains[vm]
            self.tell("stopped", vm, "shutdown")

    def suspend(self, vm: str) -> None:
        domain = self._domain("suspend", vm)
        domain.state, domain.pause_reason = "paused", "user"

    def resume(self, vm: str) -> None:
        domain = self._domain("resume", vm)
        domain.state, domain.pause_reason = "running", ""

    def undefine(self, vm: str) -> None:
        self._called("undefine")

    def usable_memory(self, vm: str) -> int | None:
        return self._domain("usable_memory", vm).usable_bytes

    def set_memory(self, vm: str, size_bytes: int) -> None:
        domain = self._domain("set_memory", vm)
        reached = max(size_bytes, domain.least_bytes)
        if not domain.deaf:
            self._edit(domain, lambda root: _set_text(root, "currentMemory", str(reached // 1024)))

    def set_vcpus(self, vm: str, vcpus: int) -> None:
        self._edit(self._domain("set_vcpus", vm), lambda root: root.find("vcpu").set("current", str(vcpus)))

    def attach_device(self, vm: str, xml: str) -> None:
        element = ET.fromstring(xml)
        domain = self._domain("attach_device", vm)
        self._edit(domain, lambda root: root.find("devices").append(element))
        domain.xml = _with_addresses(domain.xml)

    def detach_device(self, vm: str, xml: str) -> None:
        domain = self._domain("detach_device", vm)
        if not domain.deaf:
            self._edit(domain, lambda root: _remove_device(root, ET.fromstring(xml)))

    def update_device(self, vm: str, xml: str, *, force: bool = False) -> None:
        element = ET.fromstring(xml)

        def change(root: ET.Element) -> None:
            if element.tag != "graphics":
                _remove_device(root, element)
                root.find("devices").append(element)

        self._edit(self._domain("update_device", vm), change)

    def resize_disk(self, vm: str, target: str, size_bytes: int) -> None:
        self._domain("resize_disk", vm)
        self.sizes[target] = size_bytes
        self.tell("disk", vm)

    def disk_capacity(self, vm: str, target: str) -> int:
        self._domain("disk_capacity", vm)
        return self.sizes.get(target, 0)

    def disk_capacities(self) -> dict[str, dict[str, int]]:
        return {vm: dict(self.sizes) for vm in self.domains}

    def set_metadata(self, vm: str, element: str) -> None:
        def change(root: ET.Element) -> None:
            place = root.find("metadata")
            if place is None:
                place = ET.SubElement(root, "metadata")
            for old in place.findall(f"{{{NAMESPACE}}}domain"):
                place.remove(old)
            new = ET.fromstring(element)
            for part in new.iter():
                part.tag = f"{{{NAMESPACE}}}{part.tag}"
            place.append(new)

        self._edit(self._domain("set_metadata", vm), change)

    def begin_migration(self, vm: str, request: MigrationRequest) -> FakeCall:
        domain = self._domain("begin_migration", vm)
        self.on_migrate(domain)
        return self.migration

    def set_migration_downtime(self, vm: str, downtime_ms: int) -> None:
        self._domain("set_migration_downtime", vm)

    def set_migration_bandwidth(self, vm: str, mib_per_s: int) -> None:
        self._domain("set_migration_bandwidth", vm)

    def job_progress(self, vm: str) -> JobProgress:
        return self._domain("job_progress", vm).job

    def abort_job(self, vm: str) -> None:
        self._domain("abort_job", vm).job = JobProgress("none")
        self.migration.error = DriverError("cannot migrate: operation aborted")
        self.migration.over.set()

    def version(self) -> HypervisorVersion:
        return HypervisorVersion("9.0.0", "7.2.22")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        error = self.fail.pop(name, None)
        if error is not None:
            raise error

    def _domain(self, name: str, vm: str) -> FakeDomain:
        self._called(name)
        if vm not in self.domains:
            raise GuestNotFoundError(f"cannot {name} guest {vm}: libvirt has no such domain")
        return self.domains[vm]

    def _edit(self, domain: FakeDomain, change: Callable[[ET.Element], None]) -> None:
        root = parse_domain(domain.xml)
        change(root)
        domain.xml = ET.tostring(root, encoding="unicode")


def _with_addresses(xml: str) -> str:
    """PCI addresses for cards that have none, as libvirt chooses them."""
    root = parse_domain(xml)
    for index, card in enumerate(root.findall("devices/interface"), start=1):
        if card.find("address") is None:
            address = {"domain": "0x0000", "bus": f"0x{index:02x}", "slot": "0x00", "function": "0x0"}
            ET.SubElement(card, "address", {"type": "pci"} | address)
    graphics = root.find("devices/graphics")
    if graphics is not None:
        graphics.set("port", "5900")
    return ET.tostring(root, encoding="unicode")


def _set_text(root: ET.Element, tag: str, text: str) -> None:
    root.find(tag).text = text


def _remove_device(root: ET.Element, device: ET.Element) -> None:
    devices = root.find("devices")
    for other in devices.findall(device.tag):
        if _identity(other) == _identity(device):
            devices.remove(other)


def _identity(device: ET.Element) -> tuple[str, str]:
    mac, target = device.find("mac"), device.find("target")
    return (
        "" if mac is None else mac.get("address", ""),
        "" if target is None or mac is not None else target.get("dev", ""),
    )
