"""VM records as one host writes them: on the master, and as a copy on the domain of the VM's first disk, like the agents.

What opens something is there twice before it counts, or not at all: writing a record, claiming a run. What only closes
counts once the master has it; a copy out of the host's reach stays behind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nodeagent.wire.records import ExitReason, RunHost, VmRecord
from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.storage import SimulatedStorage, SimulationFault


@dataclass(frozen=True, slots=True)
class SimulatedRecords:
    """The records of a master domain, with every domain that can hold copies, and those that the host has connected."""

    master: SimulatedStorage
    storage: Mapping[str, SimulatedStorage]
    connected: frozenset[str]

    def write(self, record: VmRecord) -> None:
        """As `SimulatedStorage.write_vm`. Raises SimulationFault as well where the copy's domain is not connected."""
        self._need_copy(record)
        self.master.write_vm(record)
        self._mirror(record.uuid)

    def claim_run(self, vm: str, number: int, hosts: Sequence[RunHost], key: str) -> None:
        """As `SimulatedStorage.claim_run`. Raises SimulationFault as well where the copy's domain is not connected."""
        self._need_copy(self.master.record(vm))
        self.master.claim_run(vm, number, hosts, key)
        self._mirror(vm)

    def settle_run(self, vm: str, number: int, hosts: Sequence[RunHost]) -> None:
        """As `SimulatedStorage.settle_run`."""
        self.master.settle_run(vm, number, hosts)
        self._mirror(vm)

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
        """As `SimulatedStorage.close_run`."""
        self.master.close_run(vm, number, reason, key, stopped_by_manifest=stopped_by_manifest, ends=ends)
        self._mirror(vm)

    def keep_findings(self, vm: str, pci: dict[str, str], disks: Sequence[str] | None = None) -> None:
        """As `SimulatedStorage.keep_findings`."""
        self.master.keep_findings(vm, pci, disks)
        self._mirror(vm)

    def bury(self, vm: str, wallclock_ms: int, key: str) -> None:
        """As `SimulatedStorage.bury`."""
        self.master.bury(vm, wallclock_ms, key)
        self._mirror(vm)

    def _need_copy(self, record: VmRecord) -> None:
        if record.copy_domain not in (None, *self.connected):
            raise SimulationFault(
                f"storage domain {record.copy_domain} is not connected, and has to have a copy"
            )

    def _mirror(self, vm: str) -> None:
        record = self.master.record(vm)
        if record.copy_domain in self.connected:
            self.storage[record.copy_domain].vms[vm] = record


def open_records(
    storage: Mapping[str, SimulatedStorage], host: SimulatedHost, master: str
) -> SimulatedRecords:
    """The records of a master domain as a host reaches them. Raises SimulationFault if it is not connected there."""
    if master not in host.connected:
        raise SimulationFault(f"the master domain {master} is not connected on {host.id}")
    return SimulatedRecords(storage[master], storage, frozenset(host.connected))
