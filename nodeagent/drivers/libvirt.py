"""libvirt behind named methods: the only way in which the agent touches domains.

Every call has a limit, so that a QEMU that hangs delays nobody but itself. Listings feed `facts`, the rest are
the tools of `operations.vm_*`. All methods raise DriverError and are safe to use from several threads.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from threading import BoundedSemaphore, Condition
from typing import Any

import libvirt

from nodeagent.drivers.libvirt_errors import GuestNotFoundError
from nodeagent.drivers.libvirt_events import EventLink, ensure_event_loop
from nodeagent.drivers.libvirt_lanes import Call, Lanes
from nodeagent.drivers.libvirt_listing import PROBE_MS, read_capacities, read_rows, read_samples, read_state
from nodeagent.drivers.libvirt_values import (
    GuestEvent,
    GuestRow,
    GuestSample,
    HypervisorVersion,
    JobProgress,
    MigrationRequest,
)
from nodeagent.drivers.processes import QemuProcesses
from nodeagent.guestxml.metadata import NAMESPACE, PREFIX
from nodeagent.guestxml.place import Accelerator
from nodeagent.wire.facts import GuestState, MigrationFacts

LOG = logging.getLogger(__name__)

QUICK_MS = 10_000
CREATE_MS = 120_000
DESTROY_MS = 60_000
"""libvirt gives a QEMU 10 s after SIGTERM, then kills it and waits up to 30 s more."""
DEVICE_MS = 30_000
LOOK_AGAIN_SECONDS = 0.25
OUTGOING_MIGRATIONS = 2
"""At most so many guests leave this host at once; oVirt's default."""

MIGRATE_FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_TLS
    | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
    | libvirt.VIR_MIGRATE_AUTO_CONVERGE
)
UNDEFINE_FLAGS = (
    libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_TPM
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE


class Hypervisor:
    """This host's libvirtd, and its QEMU processes. proc: the /proc in which libvirtd's guests show."""

    migrations: dict[str, MigrationFacts]
    """Migrations out of this host that this agent carries, by VM: for the facts."""
    accelerator: Accelerator | None
    """What runs guests here; None until `facts.capabilities` has found out."""

    def __init__(self, uri: str = "qemu:///system", proc: Path = Path("/proc")) -> None:
        ensure_event_loop()
        self.accelerator = None
        self.migrations = {}
        self.outgoing = BoundedSemaphore(OUTGOING_MIGRATIONS)
        self._lanes = Lanes(uri)
        self._processes = QemuProcesses(proc)
        self._listeners: list[Callable[[GuestEvent], None]] = []
        self._changed = Condition()
        self._link = EventLink(uri, self._deliver)

    def start(self) -> None:
        """Begin to receive events; reconnects by itself after a restart of libvirtd."""
        self._link.start()

    def close(self) -> None:
        """Give up all connections."""
        self._link.close()
        self._lanes.close()

    def listen(self, listener: Callable[[GuestEvent], None]) -> None:
        """Call `listener` with every event, in the event thread: it must return quickly and not call back."""
        self._listeners.append(listener)

    def wait_until(self, reached: Callable[[], bool], limit_ms: int, cancelled: Callable[[], bool]) -> bool:
        """Whether `reached` became true within limit_ms; asked anew at each event, and four times a second."""
        end = time.monotonic() + limit_ms / 1000
        while not reached():
            left = end - time.monotonic()
            if left <= 0 or cancelled():
                return False
            with self._changed:
                self._changed.wait(min(left, LOOK_AGAIN_SECONDS))
        return True

    def list_guests(self) -> tuple[GuestRow, ...]:
        """Every domain, defined or running. One whose QEMU hangs is `unknown`, within about 2 s at first."""
        return read_rows(self._lanes)

    def sample_guests(self) -> tuple[GuestSample, ...]:
        """CPU and balloon counters of running domains; hanging ones are left out."""
        return read_samples(self._lanes)

    def list_processes(self) -> dict[str, int]:
        """Process ids of living QEMU processes by VM uuid, whatever libvirt says."""
        return self._processes.list_guests()

    def domain_xml(self, vm: str) -> str:
        """The domain's XML now. Raises GuestNotFoundError if there is none."""
        return str(self._read(vm, "read the XML of", lambda domain: domain.XMLDesc(0)))

    def migration_xml(self, vm: str) -> str:
        """The domain's XML for a destination, console password included: never log or keep it."""
        flags = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE
        return str(self._read(vm, "read the XML of", lambda domain: domain.XMLDesc(flags)))

    def is_running(self, vm: str) -> bool:
        """Whether libvirt has this domain with a QEMU; False also if it has no such domain."""
        try:
            return bool(self._read(vm, "look at", lambda domain: domain.isActive()))
        except GuestNotFoundError:
            return False

    def guest_state(self, vm: str) -> tuple[GuestState, str]:
        """What the guest is doing, and why it is paused if it is. Raises GuestNotFoundError if there is none."""
        found: tuple[GuestState, str] = self._read(vm, "look at", read_state)
        return found

    def is_persistent(self, vm: str) -> bool:
        """Whether libvirt would keep the domain after its stop."""
        return bool(self._read(vm, "look at", lambda domain: domain.isPersistent()))

    def create(self, vm: str, xml: str) -> None:
        """Start a transient domain. NotAnsweringError leaves open whether it runs."""
        self._lanes.call(
            lambda connection: connection.createXML(xml, 0) and None, CREATE_MS, f"start guest {vm}", vm
        )

    def destroy(self, vm: str) -> None:
        """Pull the plug, of a hanging guest too; nothing to do if it is gone."""
        try:
            self._lanes.call(_domain(vm, lambda domain: domain.destroy()), DESTROY_MS, f"destroy guest {vm}")
        except GuestNotFoundError:
            LOG.info("guest %s was gone before it was destroyed", vm)

    def shut_down(self, vm: str) -> None:
        """Press the guest's power button (ACPI)."""
        flags = libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        self._change(vm, "shut down", lambda domain: domain.shutdownFlags(flags))

    def suspend(self, vm: str) -> None:
        """Halt the guest's CPUs."""
        self._change(vm, "pause", lambda domain: domain.suspend())

    def resume(self, vm: str) -> None:
        """Let the guest's CPUs go on."""
        self._change(vm, "resume", lambda domain: domain.resume())

    def undefine(self, vm: str) -> None:
        """Forget a stopped persistent domain; its UEFI variables and TPM state stay. Nothing to do if unknown."""
        try:
            self._change(vm, "undefine", lambda domain: domain.undefineFlags(UNDEFINE_FLAGS))
        except GuestNotFoundError:
            LOG.info("domain %s was not defined any more", vm)

    def usable_memory(self, vm: str) -> int | None:
        """Bytes that the guest said it can spare (its MemAvailable), some seconds ago; None if it never told."""
        stats = self._read(vm, "read the balloon of", lambda domain: domain.memoryStats())
        told = bool(stats.get("last_update")) and "usable" in stats
        return int(stats["usable"]) * 1024 if told else None

    def set_memory(self, vm: str, size_bytes: int) -> None:
        """Set the balloon's target; the guest follows in its own time."""
        self._change(vm, "set the memory of", lambda domain: domain.setMemoryFlags(size_bytes // 1024, LIVE))

    def set_vcpus(self, vm: str, vcpus: int) -> None:
        """Plug or unplug vCPUs; unplugging needs the guest's consent and waits for it some seconds."""
        self._change(vm, "set the vCPUs of", lambda domain: domain.setVcpusFlags(vcpus, LIVE), DEVICE_MS)

    def attach_device(self, vm: str, xml: str) -> None:
        """Plug a device."""
        self._change(vm, "plug a device into", lambda domain: domain.attachDeviceFlags(xml, LIVE), DEVICE_MS)

    def detach_device(self, vm: str, xml: str) -> None:
        """Ask the guest to let a device go; it is out once the domain's XML no longer shows it."""
        self._change(
            vm, "unplug a device from", lambda domain: domain.detachDeviceFlags(xml, LIVE), DEVICE_MS
        )

    def update_device(self, vm: str, xml: str, *, force: bool = False) -> None:
        """Change a device in place. force: also a CD that the guest has locked."""
        flags = LIVE | (libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE if force else 0)
        self._change(vm, "change a device of", lambda domain: domain.updateDeviceFlags(xml, flags), DEVICE_MS)

    def resize_disk(self, vm: str, target: str, size_bytes: int) -> None:
        """Grow a disk through the running guest, which sees it at once. target: libvirt's device name."""
        flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
        self._change(
            vm, "grow a disk of", lambda domain: domain.blockResize(target, size_bytes, flags), DEVICE_MS
        )
        self._deliver(GuestEvent("disk", vm))  # libvirt tells nobody of a growth

    def disk_capacity(self, vm: str, target: str) -> int:
        """Bytes of a disk as the running guest sees it."""
        work = _domain(vm, lambda domain: domain.blockInfo(target)[0])
        return int(self._lanes.read(work, PROBE_MS, f"look at a disk of guest {vm}", vm))

    def disk_capacities(self) -> dict[str, dict[str, int]]:
        """Bytes of every disk of every running guest that answers, by VM and libvirt's device name."""
        return read_capacities(self._lanes)

    def set_metadata(self, vm: str, element: str) -> None:
        """Replace our element in the running domain's metadata."""
        kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
        self._change(vm, "label", lambda domain: domain.setMetadata(kind, element, PREFIX, NAMESPACE, LIVE))

    def begin_migration(self, vm: str, request: MigrationRequest) -> Call[None]:
        """Begin to move a running guest, its memory encrypted; the call ends when it has left, or fails.

        The source's libvirtd carries the migration on even if this process dies.
        """
        parameters: dict[str, Any] = {
            libvirt.VIR_MIGRATE_PARAM_URI: request.data_uri,
            libvirt.VIR_MIGRATE_PARAM_DEST_XML: request.xml,
        }
        if request.bandwidth_mib_per_s:
            parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = request.bandwidth_mib_per_s
        work = _domain(vm, lambda domain: domain.migrateToURI3(request.uri, parameters, MIGRATE_FLAGS))
        return self._lanes.begin(work, f"migrate guest {vm}")

    def set_migration_downtime(self, vm: str, downtime_ms: int) -> None:
        """How long the guest may stand still at the switch-over of a running migration."""
        self._change(vm, "set the downtime of", lambda domain: domain.migrateSetMaxDowntime(downtime_ms, 0))

    def set_migration_bandwidth(self, vm: str, mib_per_s: int) -> None:
        """How much of its memory a running migration may send in a second."""
        self._change(vm, "set the bandwidth of", lambda domain: domain.migrateSetMaxSpeed(mib_per_s, 0))

    def job_progress(self, vm: str) -> JobProgress:
        """The job that runs on a domain; kind none without one."""
        return _progress(self._read(vm, "look at the job of", lambda domain: domain.jobStats(0)))

    def abort_job(self, vm: str) -> None:
        """Stop the running job, a migration for example; the call that began it fails."""
        self._change(vm, "abort the job of", lambda domain: domain.abortJob())

    def capabilities_xml(self) -> str:
        """What libvirt says of the host's CPU, memory and machine types."""
        return self._lanes.read(lambda link: str(link.getCapabilities()), CREATE_MS, "read capabilities")

    def domain_capabilities_xml(self, machine: str, virtualization: str) -> str:
        """What a guest of this machine type can have here. virtualization: `kvm` or `qemu`."""
        return self._lanes.read(
            lambda link: str(link.getDomainCapabilities(None, "x86_64", machine, virtualization, 0)),
            CREATE_MS,
            "read domain capabilities",
        )

    def version(self) -> HypervisorVersion:
        """Versions of libvirtd and of the QEMU that it found last."""
        numbers = self._lanes.read(
            lambda link: (link.getLibVersion(), link.getVersion()), QUICK_MS, "ask for versions"
        )
        return HypervisorVersion(*map(_version_text, numbers))

    def _read(self, vm: str, verb: str, work: Callable[[Any], Any]) -> Any:
        return self._lanes.read(_domain(vm, work), QUICK_MS, f"{verb} guest {vm}", vm)

    def _change(self, vm: str, verb: str, work: Callable[[Any], Any], limit_ms: int = QUICK_MS) -> None:
        self._lanes.call(_domain(vm, work), limit_ms, f"{verb} guest {vm}", vm)

    def _deliver(self, event: GuestEvent) -> None:
        for listener in tuple(self._listeners):
            listener(event)
        with self._changed:
            self._changed.notify_all()


def _domain(vm: str, work: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda connection: work(connection.lookupByUUIDString(vm))


def _version_text(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


_JOB_KINDS = {
    libvirt.VIR_DOMAIN_JOB_NONE: "none",
    libvirt.VIR_DOMAIN_JOB_COMPLETED: "completed",
    libvirt.VIR_DOMAIN_JOB_FAILED: "failed",
    libvirt.VIR_DOMAIN_JOB_CANCELLED: "cancelled",
}
_OPERATIONS = {
    libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN: "migration-in",
    libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT: "migration-out",
}


def _progress(stats: dict[str, Any]) -> JobProgress:
    kind: Any = _JOB_KINDS.get(stats.get("type", 0), "running")
    if kind == "none":
        return JobProgress("none")
    operation: Any = _OPERATIONS.get(stats.get("operation", 0), "other")
    return JobProgress(
        kind=kind,
        operation=operation,
        elapsed_ms=int(stats.get("time_elapsed", 0)),
        remaining_bytes=int(stats.get("data_remaining", 0)),
        total_bytes=int(stats.get("data_total", 0)),
        mib_per_s=int(stats.get("memory_bps", 0)) // (1024 * 1024),
        iteration=int(stats.get("memory_iteration", 0)),
        message=str(stats.get("errmsg", "")),
    )
