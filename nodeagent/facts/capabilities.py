"""What this host could run: libvirt's two capability documents and a KVM probe into HostCapabilities.

`facts.assemble` asks at each collection; libvirt is asked anew after it restarted, KVM is probed once a boot.
"""

import logging
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from nodeagent.drivers.kvmprobe import runs_guest_code
from nodeagent.drivers.libvirt import Hypervisor
from nodeagent.drivers.libvirt_values import GuestEvent
from nodeagent.durable import replace_file
from nodeagent.errors import DriverError
from nodeagent.operations.contract import HostPaths
from nodeagent.wire.facts import HostCapabilities

LOG = logging.getLogger(__name__)

CPU_MAP = Path("/usr/share/libvirt/cpu_map/index.xml")
TPM_EMULATOR = Path("/usr/bin/swtpm")
MODELS_LIMIT = 512


class Capabilities:
    """HostCapabilities, remembered until libvirtd is another one. Safe to use from several threads."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        paths: HostPaths,
        boot_id: str,
        probe: Callable[[str], bool] = runs_guest_code,
    ) -> None:
        self._hypervisor = hypervisor
        self._paths = paths
        self._boot_id = boot_id
        self._probe = probe
        self._lock = Lock()
        self._known: HostCapabilities | None = None
        hypervisor.listen(self._hear)

    def read(self) -> HostCapabilities:
        """The capabilities. Raises DriverError as long as libvirt never answered."""
        with self._lock:
            if self._known is None:
                self._known = self._ask()
            return self._known

    def known(self) -> HostCapabilities | None:
        """The capabilities as far as they are remembered; asks nobody and waits for nobody."""
        return self._known

    def _hear(self, event: GuestEvent) -> None:
        if event.kind == "connected":
            self._known = None

    def _ask(self) -> HostCapabilities:
        host = parse_capabilities(self._hypervisor.capabilities_xml())
        kvm = host.emulator != "" and self._has_kvm(host.emulator)
        self._hypervisor.accelerator = "kvm" if kvm else "tcg"
        virtualization = "kvm" if kvm else "qemu"
        document = self._hypervisor.domain_capabilities_xml(host.default_machine, virtualization)
        guest = parse_domain_capabilities(document, host.vendor, read_generations(CPU_MAP))
        version = self._hypervisor.version()
        return HostCapabilities(
            memory_bytes=host.memory_bytes,
            threads=host.threads,
            cores=host.cores,
            sockets=host.sockets,
            kvm=kvm,
            cpu_models=guest.cpu_models,
            machines=host.machines,
            default_machine=host.default_machine,
            uefi=guest.uefi and self._paths.firmware_code.exists() and self._paths.firmware_vars.exists(),
            tpm=guest.tpm and TPM_EMULATOR.exists(),
            libvirt=version.libvirt,
            qemu=version.qemu,
            halts_to_migrate=not kvm and version.loses_writes,
        )

    def _has_kvm(self, emulator: str) -> bool:
        """The probe's answer in this boot, kept in the state directory."""
        path = self._paths.state / "kvm"
        try:
            boot_id, answer = path.read_text(encoding="ascii").split()
        except (OSError, ValueError):
            boot_id = answer = ""
        if boot_id == self._boot_id:
            return answer == "yes"
        works = self._probe(emulator)
        if not path.parent.is_dir():  # the agent has never run here
            return works
        try:
            replace_file(path, f"{self._boot_id} {'yes' if works else 'no'}\n".encode(), 0o644)
        except DriverError as error:
            LOG.warning("%s", error)
        return works


@dataclass(frozen=True, slots=True)
class ParsedHost:
    """libvirt's `capabilities`, as far as it is used. Counts are of threads, cores and sockets in all."""

    memory_bytes: int
    threads: int
    cores: int
    sockets: int
    vendor: str
    emulator: str
    machines: tuple[str, ...]
    default_machine: str


@dataclass(frozen=True, slots=True)
class ParsedGuest:
    """libvirt's `domainCapabilities`, as far as it is used."""

    cpu_models: tuple[str, ...]
    uefi: bool
    tpm: bool


def parse_capabilities(xml: str) -> ParsedHost:
    """Host and x86_64 guest. Versioned machine types only, oldest first. Raises DriverError if it is no such document."""
    root = _parse(xml)
    cells = root.findall("host/topology/cells/cell")
    cpus = root.findall("host/topology/cells/cell/cpus/cpu")
    memory = sum(int(cell.findtext("memory") or "0") for cell in cells) * 1024
    arch = root.find("guest/arch[@name='x86_64']")
    machines = [] if arch is None else arch.findall("machine")
    names = {machine.text or "" for machine in machines if machine.get("canonical") is None}
    default = next((m.get("canonical", "") for m in machines if m.text == "q35"), "")
    return ParsedHost(
        memory_bytes=memory,
        threads=max(1, len(cpus)),
        cores=max(1, len({(cpu.get("socket_id"), cpu.get("die_id"), cpu.get("core_id")) for cpu in cpus})),
        sockets=max(1, len({cpu.get("socket_id") for cpu in cpus})),
        vendor=root.findtext("host/cpu/vendor") or "",
        emulator="" if arch is None else arch.findtext("emulator") or "",
        machines=tuple(sorted(filter(_is_versioned, names), key=_machine_order)),
        default_machine=default or max(names, key=_machine_order, default="pc-q35-7.2"),
    )


def _is_versioned(machine: str) -> bool:
    return machine.startswith("pc-") and machine[-1].isdigit()


def _machine_order(machine: str) -> tuple[str, list[int]]:
    family, _dash, version = machine.rpartition("-")
    return family, [int(number) for number in re.findall(r"\d+", version)]


def parse_domain_capabilities(xml: str, vendor: str, generations: dict[str, int]) -> ParsedGuest:
    """What guests can have. CPU models: those that run here, the host's own vendor's newest last.

    generations: the place of each model in libvirt's own list, which runs from old to new. Raises DriverError.
    """
    root = _parse(xml)
    models = root.findall("cpu/mode[@name='custom']/model[@usable='yes']")
    usable = [(model.text or "", model.get("vendor", "unknown")) for model in models][:MODELS_LIMIT]
    preference = {"unknown": 0, vendor: 2}
    ordered = sorted(
        usable, key=lambda model: (preference.get(model[1], 1), generations.get(model[0], -1), model[0])
    )
    loader = root.find("os/loader[@supported='yes']")
    tpm = root.find("devices/tpm[@supported='yes']")
    return ParsedGuest(
        cpu_models=tuple(name for name, _vendor in ordered),
        uefi=loader is not None and "pflash" in _values(loader, "type"),
        tpm=tpm is not None
        and "emulator" in _values(tpm, "backendModel")
        and "tpm-crb" in _values(tpm, "model"),
    )


def read_generations(path: Path) -> dict[str, int]:
    """The order of x86 CPU models in libvirt's index, from old to new; empty if the file is not there."""
    try:
        root = _parse(path.read_text(encoding="utf-8"))
    except (OSError, DriverError):
        return {}
    files = [include.get("filename", "") for include in root.findall("arch[@name='x86']/include")]
    return {name.removeprefix("x86_").removesuffix(".xml"): place for place, name in enumerate(files)}


def _values(element: ET.Element, name: str) -> list[str]:
    return [value.text or "" for value in element.findall(f"enum[@name='{name}']/value")]


def _parse(xml: str) -> ET.Element:
    try:
        return ET.fromstring(xml)  # noqa: S314 - libvirt's own document
    except ET.ParseError as error:
        raise DriverError(
            f"libvirt's capabilities cannot be parsed: {error}", "see libvirtd's log"
        ) from error
