"""The world: hosts, storage, and what may befall them. Every state that breaks a promise raises at once."""

import asyncio
from dataclasses import dataclass, field

from nodeagent.wire.facts import StorageDomainFacts
from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.storage import SimulatedStorage, SimulationFault


class BrokenPromiseError(AssertionError):
    """Two writers, a lost byte: the world is in a state that must never be."""


@dataclass(slots=True)
class World:
    """Hosts by object id, storage domains by uuid, and the log of what happened: (virtual ms, who, what)."""

    hosts: dict[str, SimulatedHost] = field(default_factory=dict)
    storage: dict[str, SimulatedStorage] = field(default_factory=dict)
    log: list[tuple[int, str, str]] = field(default_factory=list)

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds; 0 outside a loop."""
        try:
            return round(asyncio.get_running_loop().time() * 1000)
        except RuntimeError:
            return 0

    def note(self, who: str, what: str) -> None:
        """A line of the log; then the promises are checked."""
        self.log.append((self.now_ms, who, what))
        self.check()

    def host_by_uuid(self, uuid: str) -> SimulatedHost:
        """A host by its uuid. Raises SimulationFault if there is none."""
        for host in self.hosts.values():
            if host.uuid == uuid:
                return host
        raise SimulationFault(f"there is no host {uuid}")

    def storage_facts(self, host: SimulatedHost) -> tuple[StorageDomainFacts, ...]:
        """The storage domains that a host is connected to."""
        found = []
        for uuid in sorted(host.connected):
            domain = self.storage[uuid]
            free = domain.contents().free_bytes
            found.append(StorageDomainFacts(uuid, "active", domain.master, 5, domain.total_bytes, free))
        return tuple(found)

    def check(self) -> None:
        """Raises BrokenPromiseError if a VM runs on two hosts or a volume has two writers."""
        homes: dict[str, str] = {}
        writers: dict[str, str] = {}
        for host in self.hosts.values():
            for vm, guest in host.guests.items():
                if guest.state == "incoming":
                    continue
                if vm in homes:
                    raise BrokenPromiseError(f"{guest.config.object} runs on {homes[vm]} and {host.id}")
                homes[vm] = host.id
                for disk in guest.config.disks:
                    other = writers.setdefault(disk.image, vm)
                    if other != vm and not disk.read_only:
                        raise BrokenPromiseError(f"{disk.name} is written by {other} and {vm}")

    def power_off(self, host: str) -> None:
        """The plug is pulled: guests are gone, the agent is silent; records know nothing of it."""
        self.hosts[host].guests.clear()
        self.hosts[host].powered = False
        self.note(host, "power off")

    def power_on(self, host: str) -> None:
        """Another boot, without guests; leases do not outlive the boot-time clock."""
        one = self.hosts[host]
        one.powered, one.boots, one.lease_until_ms = True, one.boots + 1, 0
        one.changed()
        self.note(host, "power on")

    def cut(self, host: str) -> None:
        """The network is cut: guests run on, nobody can ask."""
        self.hosts[host].reachable = False
        self.note(host, "network cut")

    def mend(self, host: str) -> None:
        """The network is back."""
        self.hosts[host].reachable = True
        self.note(host, "network back")

    def destroy_guest(self, host: str, vm: str) -> None:
        """Somebody runs virsh destroy."""
        self.hosts[host].lose_guest(vm, "destroyed")
        self.note(host, f"guest {vm} destroyed behind our back")

    def shut_down_guest(self, host: str, vm: str) -> None:
        """The guest shuts itself down."""
        self.hosts[host].lose_guest(vm, "shutdown")
        self.note(host, f"guest {vm} shut itself down")

    def lose_ledger(self, host: str) -> None:
        """The agent's state directory is gone: a new ledger that takes no orders until a resync."""
        one = self.hosts[host]
        one.ledger.clear()
        one.last_of.clear()
        one.ledgers, one.epoch, one.holder, one.lease_until_ms, one.resync_needed = (
            one.ledgers + 1,
            0,
            "",
            0,
            True,
        )
        one.changed()
        self.note(host, "ledger lost")
