"""Hosts of a bare lab as the operations on VMs see them: real libvirt, real records on real shared storage.

The tests run outside the hosts: they reach libvirtd through its socket in the host's own mount namespace. The
lab's shared directory has the same path inside and outside.
"""

import signal
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodeagent.drivers.libvirt import Hypervisor
from nodeagent.facts.capabilities import Capabilities
from nodeagent.facts.exits import Exits
from nodeagent.facts.guests import Guests
from nodeagent.formats.domainlayout import make_domain
from nodeagent.formats.domainmetadata import DomainMetadata
from nodeagent.formats.vmrecords import read_vm_record, write_vm_record
from nodeagent.host import Host
from nodeagent.operations.contract import HostPaths, Operation
from nodeagent.operations.vm_operations import VM_OPERATIONS
from nodeagent.settings import Settings
from nodeagent.storage import StorageDomains
from nodeagent.storagefile import ConnectedDomain
from nodeagent.wire.arguments import KINDS, StartVm, StorageConnection
from nodeagent.wire.facts import GuestFacts
from nodeagent.wire.guest import CpuConfig, DiskConfig, GuestConfig, KernelBoot, MemoryConfig, NicConfig
from nodeagent.wire.orders import Progress
from nodeagent.wire.records import VmRecord
from reconciler.lab.guestlog import GuestReport, read_last_report
from reconciler.lab.inside import host_init, run_in
from reconciler.lab.model import Lab
from reconciler.lab.services import LIBVIRTD, signal_service, start_libvirtd

DATA_CENTER = "0e3f7a52-1f5a-4c39-8a8f-0a4f3d1f7c11"
MASTER = "7d9c2c5e-93a1-4f7b-8f5f-6f1f0c3f2b10"
MIB = 1024 * 1024
LIMIT_S = 60
OPERATIONS: dict[str, Operation[Any]] = {operation.kind: operation for operation in VM_OPERATIONS}


@dataclass
class TestControl:
    """What an operation sees of its order."""

    __test__ = False

    key: str = "apply/step"
    evidence: Any = None
    secrets: dict[str, str] = field(default_factory=dict)
    secret_digests: dict[str, str] = field(default_factory=dict)
    limit_s: float = LIMIT_S
    begun: float = field(default_factory=time.monotonic)
    notes: dict[str, Any] = field(default_factory=dict)
    reports: list[Progress] = field(default_factory=list)
    stop: bool = False

    def cancelled(self) -> bool:
        return self.stop or self.remaining_ms() == 0

    def remaining_ms(self) -> int:
        return max(0, int(1000 * (self.begun + self.limit_s - time.monotonic())))

    def report(self, progress: Progress) -> None:
        self.reports.append(progress)

    def note(self, key: str, value: Any) -> None:
        self.notes[key] = value

    def noted(self) -> dict[str, Any]:
        return dict(self.notes)


@dataclass
class GuestHost:
    """One lab host, with what its agent would keep."""

    lab: Lab
    host: Host
    guests: Guests

    @property
    def name(self) -> str:
        return self.host.name

    def order(self, arguments: Any, **control: Any) -> dict[str, Any]:
        """Carry out one order as the engine does: checked, run, verified."""
        operation = OPERATIONS[KINDS[type(arguments)]]
        refusal = operation.check(self.host, arguments)
        assert refusal is None, refusal
        outputs = operation.run(self.host, arguments, TestControl(**control))
        difference = operation.verify(self.host, arguments)
        assert difference is None, difference
        return outputs

    def refusal(self, arguments: Any) -> str | None:
        return OPERATIONS[KINDS[type(arguments)]].check(self.host, arguments)

    def recover(self, arguments: Any, **control: Any) -> bool | None:
        return OPERATIONS[KINDS[type(arguments)]].recover(self.host, arguments, TestControl(**control))

    def guest(self, vm: str) -> GuestFacts | None:
        seen = self.guests.collect()
        assert seen.complete, seen.problem
        return next((guest for guest in seen.guests if guest.uuid == vm), None)

    def record(self, vm: str) -> VmRecord:
        record = read_vm_record(self.host.storage.place(MASTER), vm)
        assert record is not None
        return record

    def report(self, vm: str) -> GuestReport | None:
        """What the guest last said on its console."""
        return read_last_report(self.host.paths.console_logs / f"{vm}.log")

    def wait_for_report(self, vm: str, after_ms: int = 0, accept: Any = lambda report: True) -> GuestReport:
        found: list[GuestReport] = []

        def spoke() -> bool:
            report = self.report(vm)
            if report is None or report.uptime_ms <= after_ms or not accept(report):
                return False
            found.append(report)
            return True

        assert wait_until(spoke), f"{vm} said nothing new on {self.name}: {self.report(vm)}"
        return found[-1]

    def virsh(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run_in(self.lab, self.name, ["virsh", *words])


def wait_until(reached: Any, limit_s: float = LIMIT_S) -> bool:
    end = time.monotonic() + limit_s
    while not reached():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def open_host(lab: Lab, name: str, state: Path) -> GuestHost:
    """A lab host with libvirt connected, bridges made and the shared storage domain connected."""
    init = host_init(lab, name)
    assert init is not None
    root = Path(f"/proc/{init.pid}/root")
    paths = HostPaths(
        state=state,
        mounts=state / "mounts",
        console_logs=lab.directory / "console",
        tpm_state=root / "var/lib/libvirt/swtpm",
        root=root,
    )
    state.mkdir(parents=True, exist_ok=True)
    boot_id = lab.host(name).boot_id_file.read_text().strip()
    hypervisor = Hypervisor(f"qemu:///system?socket={root}/run/libvirt/libvirt-sock", root / "proc")
    host = Host(
        uuid=lab.host(name).uuid,
        name=name,
        boot_id=boot_id,
        address=lab.host(name).address,
        paths=paths,
        hypervisor=hypervisor,
        storage=connect_storage(lab, paths),
        links=None,
        exits=Exits.load(state / "exits", boot_id, lab.host(name).outside("/var/log/libvirt/qemu")),
        settings=Settings.load(state / "settings.json"),
    )
    guests = Guests(hypervisor, host.exits)
    hypervisor.start()
    Capabilities(hypervisor, paths, boot_id, lambda _emulator: lab.kvm).read()
    for bridge in ("br0", "br1"):
        if run_in(lab, name, ["ip", "link", "show", bridge]).returncode:
            run_in(lab, name, ["ip", "link", "add", bridge, "type", "bridge"])
        run_in(lab, name, ["ip", "link", "set", bridge, "up"])
    return GuestHost(lab, host, guests)


class SharedDirectories(StorageDomains):
    """Connected like local ones, because no mount of this process reaches into a lab host; but all hosts have them."""

    def local_directories(self) -> dict[str, Path]:
        return {}


def connect_storage(lab: Lab, paths: HostPaths) -> StorageDomains:
    metadata = DomainMetadata(MASTER, "LOCALFS", "Master", "lab", (DATA_CENTER,), str(lab.shared))
    if not (lab.shared / MASTER / "dom_md" / "metadata").exists():
        make_domain(lab.shared, metadata)
    storage = SharedDirectories(paths)
    connection = StorageConnection("localfs", str(lab.shared))
    storage.connect(ConnectedDomain(MASTER, DATA_CENTER, connection, 1))
    storage.start()
    return storage


def make_disk(lab: Lab, number: int = 1, mib: int = 64, **fields: Any) -> DiskConfig:
    """A qcow2 volume on the shared storage domain."""
    image, volume = str(uuid.uuid4()), str(uuid.uuid4())
    directory = lab.shared / MASTER / "images" / image
    directory.mkdir(parents=True)
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", str(directory / volume), f"{mib}M"], check=True
    )
    whole = {
        "name": f"disk/d{number}",
        "storage_domain": MASTER,
        "image": image,
        "volume": volume,
        "format": "qcow2",
        "bus": "virtio",
    }
    return DiskConfig(**(whole | fields))


def make_nic(number: int, **fields: Any) -> NicConfig:
    whole = {
        "name": f"nic{number}",
        "network": "net/lan",
        "bridge": "br0",
        "mac": f"52:54:00:00:00:0{number}",
        "model": "virtio",
    }
    return NicConfig(**(whole | fields))


def make_guest(cmdline: str = "", **fields: Any) -> GuestConfig:
    """A guest that boots the lab's kernel and reports on its console."""
    name = f"g{uuid.uuid4().hex[:8]}"
    whole = {
        "uuid": str(uuid.uuid4()),
        "object": f"vm/{name}",
        "data_center": DATA_CENTER,
        "title": name,
        "run": 1,
        "machine": "pc-q35-7.2",
        "cpu": CpuConfig("maximum", 1, 1, 1, 1),
        "memory": MemoryConfig(160 * MIB, 160 * MIB, 128 * MIB),
        "kernel": KernelBoot(
            "/usr/share/ostler/guest/vmlinuz",
            "/usr/share/ostler/guest/initrd",
            f"console=ttyS0 quiet panic=-1 {cmdline}".strip(),
        ),
    }
    return GuestConfig(**(whole | fields))


def define(host: GuestHost, config: GuestConfig) -> None:
    """Write the VM's first record."""
    record = VmRecord(
        uuid=config.uuid,
        object=config.object,
        data_center=DATA_CENTER,
        revision=1,
        incarnation=1,
        machine=config.machine,
        cpu_model=config.cpu.model,
    )
    write_vm_record(host.host.storage.place(MASTER), None, record)


def start(host: GuestHost, config: GuestConfig) -> dict[str, Any]:
    if config.run == 1:
        define(host, config)
    return host.order(StartVm(MASTER, config))


def restart_libvirtd(lab: Lab, name: str) -> None:
    """Kill a host's libvirtd and start it again; its guests live on."""
    signal_service(lab, name, LIBVIRTD, signal.SIGKILL)
    start_libvirtd(lab, name)
