"""Where a VM's record, volumes and state lie on this host: connected storage domains into paths.

Shared by the operations on VMs; says what to connect where something is missing.
"""

import logging
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from nodeagent.formats.files import PASSABLE_MODE
from nodeagent.formats.vmrecords import claim_run, close_run, read_vm_record, settle_run, write_vm_record
from nodeagent.guestxml.place import GuestPlace
from nodeagent.host import Host
from nodeagent.operations.contract import OperationError
from nodeagent.wire.guest import GuestConfig, NicConfig
from nodeagent.wire.records import ExitReason, RunHost, VmRecord

LOG = logging.getLogger(__name__)

RECORD_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """A VM's record and where it lies; the second place is looked up when it is written."""

    host: Host
    master: str
    place: Path
    record: VmRecord

    @property
    def vm(self) -> str:
        """The VM's uuid."""
        return self.record.uuid

    @property
    def copy(self) -> Path | None:
        """Where the second copy lies, None where its domain is not connected here."""
        return self.host.storage.record_copy(self.master, self.record.copy_domain, required=False)

    def claim(self, number: int, hosts: tuple[RunHost, ...], key: str) -> VmRecord:
        """Claim a run, on master and copy. Raises OperationError: then nothing may be started."""
        copy = self.host.storage.record_copy(self.master, self.record.copy_domain, required=True)
        return claim_run(self.place, copy, self.vm, number, hosts, key)

    def settle(self, number: int, hosts: tuple[RunHost, ...]) -> VmRecord:
        """Narrow an open run to the hosts on which the VM may be alive. Raises OperationError."""
        return settle_run(self.place, self.copy, self.vm, number, hosts)

    def close(self, number: int, reason: ExitReason, key: str, *, by_manifest: bool = False) -> VmRecord:
        """Close a run. Raises OperationError."""
        return close_run(self.place, self.copy, self.vm, number, reason, by_manifest, key)


def open_record(host: Host, master: str, vm: str) -> RecordPlace:
    """A VM's record, read now. Raises OperationError if there is none, or it cannot be read."""
    place = host.storage.answering_place(master)
    record = read_vm_record(place, vm)
    if record is None:
        raise OperationError(f"VM {vm} has no record", "write its record first: adopt it, or define it")
    return RecordPlace(host, master, place, record)


def keep_findings(
    records: RecordPlace, nics: tuple[NicConfig, ...], disks: tuple[str, ...] | None = None
) -> None:
    """Write into the record what was found of the guest: the PCI addresses that libvirt chose; disks: ids of all that
    it has or is to have, where no others can be in use. Facts show the same if it fails, and a plan writes it then.
    """
    chosen = {nic.name: nic.pci for nic in nics if nic.pci is not None}
    for _attempt in range(RECORD_ATTEMPTS):
        try:
            record = read_vm_record(records.place, records.vm)
            if record is None:
                return
            named = record.disks if disks is None else disks
            found = replace(record, pci=record.pci | chosen, disks=named)
            if found == record:
                return
            write_vm_record(records.place, records.copy, replace(found, revision=record.revision + 1))
        except OperationError as error:
            LOG.warning("what VM %s was given is not in its record yet: %s", records.vm, error.summary)


def place_of(host: Host, config: GuestConfig, master: str) -> GuestPlace:
    """Where this host runs a guest. Raises OperationError until the host's capabilities are known."""
    if host.hypervisor.accelerator is None:
        raise OperationError(
            "libvirt has not told what this host can do", "see that libvirtd runs on this host"
        )
    return GuestPlace(
        accelerator=host.hypervisor.accelerator,
        directories=host.storage.directories(),
        console_log=host.paths.console_logs / f"{config.uuid}.log",
        firmware_code=host.paths.firmware_code,
        firmware_vars=host.paths.firmware_vars,
        nvram=firmware_file(host, config, master) if config.firmware == "uefi" else None,
    )


def firmware_file(host: Host, config: GuestConfig, master: str) -> Path:
    """Where a guest's UEFI variables lie: on the domain of its first disk, where every host finds them."""
    return state_domain(host, config, master) / "master" / "firmware" / f"{config.uuid}.fd"


def state_domain(host: Host, config: GuestConfig, master: str) -> Path:
    """The domain that keeps a guest's state: that of its first disk, the master if it has none."""
    return host.storage.place(config.disks[0].storage_domain if config.disks else master)


def refuse_missing_files(host: Host, config: GuestConfig) -> list[str]:
    """Volumes and CD images that are not there as plain files below their storage domain, and the host's own files
    that the guest boots from, each with its reason.
    """
    problems = (
        [
            f"the host has no file {file}: put it there, on each host that may run the VM"
            for file in (config.kernel.kernel, config.kernel.initrd)
            if file is not None and not (host.paths.root / file.lstrip("/")).is_file()
        ]
        if config.kernel is not None
        else []
    )
    for disk in config.disks:
        with _collecting(problems):
            host.storage.volume_path(disk.storage_domain, disk.image, disk.volume)
    if config.cdrom is not None and config.cdrom.storage_domain is not None and config.cdrom.file is not None:
        with _collecting(problems):
            host.storage.iso_path(config.cdrom.storage_domain, config.cdrom.file)
    return problems


@contextmanager
def _collecting(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except OperationError as error:
        problems.append(error.summary)


def prepare_directories(place: GuestPlace) -> None:
    """Make the directories that QEMU writes to. Raises OperationError."""
    prepare_directory(place.console_log.parent)
    if place.nvram is not None:
        prepare_directory(place.nvram.parent, PASSABLE_MODE)


def prepare_directory(directory: Path, mode: int = 0o700) -> None:
    """Make a directory, if it is not there, with just this mode: root's alone by default. Raises OperationError."""
    try:
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
        if stat.S_IMODE(directory.stat().st_mode) != mode:  # the agent's umask took from it
            directory.chmod(mode)
    except OSError as error:
        raise OperationError(f"cannot make {directory}: {error.strerror}", "free space there") from error
