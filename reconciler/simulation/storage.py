"""A simulated storage domain: records with the same compare-and-swap rules as on real storage, and volumes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nodeagent.wire.facts import StorageContents
from nodeagent.wire.records import (
    DiskRecord,
    ExitReason,
    PoolRecord,
    Run,
    RunHost,
    VmRecord,
    VolumeFacts,
)


class SimulationFault(Exception):
    """An operation that a real agent would fail, with its words."""


@dataclass(slots=True)
class SimulatedStorage:
    """One domain's content. Every reader and writer sees the same, as on shared storage. kept, set_aside: uuids of VMs
    whose UEFI variables lie here, in use or with a removed VM's other name."""

    uuid: str
    master: bool
    pool: PoolRecord | None = None
    vms: dict[str, VmRecord] = field(default_factory=dict)
    disks: dict[str, DiskRecord] = field(default_factory=dict)
    volumes: dict[str, VolumeFacts] = field(default_factory=dict)
    total_bytes: int = 2**44
    kept: set[str] = field(default_factory=set)
    set_aside: set[str] = field(default_factory=set)

    def contents(self) -> StorageContents:
        """What a connected host reports of the domain."""
        used = sum(volume.actual_bytes for volume in self.volumes.values())
        return StorageContents(
            uuid=self.uuid,
            master=self.master,
            complete=True,
            pool=self.pool,
            vms=tuple(self.vms[key] for key in sorted(self.vms)),
            disks=tuple(self.disks[key] for key in sorted(self.disks)),
            volumes=tuple(self.volumes[key] for key in sorted(self.volumes)),
            kept=tuple(sorted(self.kept)),
            set_aside=tuple(sorted(self.set_aside)),
            total_bytes=self.total_bytes,
            free_bytes=self.total_bytes - used,
        )

    def record(self, vm: str) -> VmRecord:
        """A VM's record. Raises SimulationFault if there is none."""
        try:
            return self.vms[vm]
        except KeyError:
            raise SimulationFault(f"VM {vm} has no record") from None

    def write_vm(self, record: VmRecord) -> None:
        """Writes a record whose revision is one above the one that is there."""
        old = self.vms.get(record.uuid)
        if record.revision != (old.revision if old else 0) + 1:
            raise SimulationFault(f"the record of {record.object} was changed meanwhile")
        self.vms[record.uuid] = record

    def write_disk(self, record: DiskRecord) -> None:
        """Writes a disk's record, by the same rule."""
        old = self.disks.get(record.image)
        if record.revision != (old.revision if old else 0) + 1:
            raise SimulationFault(f"the record of {record.object} was changed meanwhile")
        self.disks[record.image] = record

    def claim_run(self, vm: str, number: int, hosts: Sequence[RunHost], key: str) -> None:
        """Opens run `number`: the last one is closed, or (a migration) names just the first of `hosts`."""
        record = self.record(vm)
        last = record.run
        if number != (last.number if last else 0) + 1:
            raise SimulationFault(
                f"run {number} of {record.object} cannot be claimed: the last is {last.number if last else 0}"
            )
        if last is not None and last.closed is None and last.hosts != tuple(hosts[:1]):
            raise SimulationFault(f"{record.object} may be running: its run {last.number} is open")
        self._update(record, run=Run(number, tuple(hosts)), last_order=key)

    def settle_run(self, vm: str, number: int, hosts: Sequence[RunHost]) -> None:
        """Narrows an open run to the hosts where the VM is."""
        record = self.record(vm)
        if record.run is not None and record.run.number == number and record.run.closed is None:
            self._update(record, run=replace(record.run, hosts=tuple(hosts)))

    def close_run(
        self,
        vm: str,
        number: int,
        reason: ExitReason,
        key: str,
        *,
        stopped_by_manifest: bool = False,
        ends: int | None = None,
    ) -> None:
        """Closes a run; nothing happens if it is closed already."""
        record = self.record(vm)
        if record.run is None or record.run.number != number:
            raise SimulationFault(f"run {number} of {record.object} is not its last one")
        if record.run.closed is None:
            run = replace(record.run, closed=reason, stopped_by_manifest=stopped_by_manifest)
            ends = record.ends if reason == "failed" else ends
            self._update(record, run=run, ends=ends, last_order=key)

    def bury(self, vm: str, wallclock_ms: int, key: str) -> None:
        """Turns a VM's record into a tombstone; its consent is used up, and what was asked of it is over."""
        self._update(
            self.record(vm),
            removed=True,
            removed_at_ms=wallclock_ms,
            allow_destroy=None,
            intents=(),
            last_order=key,
        )

    def keep_findings(self, vm: str, pci: dict[str, str], disks: Sequence[str] | None = None) -> None:
        """Writes the addresses that the hypervisor chose, and the disks that the guest was given."""
        record = self.record(vm)
        found = (record.pci | pci, record.disks if disks is None else tuple(disks))
        if found != (record.pci, record.disks):
            self._update(record, pci=found[0], disks=found[1])

    def _update(self, record: VmRecord, **fields: object) -> None:
        self.vms[record.uuid] = replace(record, revision=record.revision + 1, **fields)  # type: ignore[arg-type]  # fields of VmRecord
