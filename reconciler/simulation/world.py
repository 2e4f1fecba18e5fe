"""The world: hosts, storage, and what may befall them. Every state that breaks a promise raises at once."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from nodeagent.wire.facts import StorageDomainFacts
from nodeagent.wire.records import ExitReason
from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.recovering import recover_orders
from reconciler.simulation.storage import SimulatedStorage, SimulationFault

ENDS: dict[str, str] = {
    "destroyed": "is destroyed behind our back",
    "shutdown": "shuts itself down",
    "crashed": "crashes",
}
"""Ends of guests as the log tells them."""


class BrokenPromiseError(AssertionError):
    """Two writers, a lost byte: the world is in a state that must never be."""


@dataclass(slots=True)
class World:
    """Hosts by object id, storage domains by uuid, and the log of what happened: (virtual ms, who, what).

    effects: how often each order key took effect. broken: promises that were broken, for those who look later.
    epoch_ms: wall clock when virtual time began.
    """

    hosts: dict[str, SimulatedHost] = field(default_factory=dict)
    storage: dict[str, SimulatedStorage] = field(default_factory=dict)
    log: list[tuple[int, str, str]] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    epoch_ms: int = 0

    @property
    def wallclock_ms(self) -> int:
        """What a clock on the wall shows, in ms since 1970; the hosts' may differ by their skew."""
        return self.epoch_ms + self.now_ms

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
        """Raises BrokenPromiseError if a VM runs on two hosts, a volume has two writers, or guests take more memory than
        their host has."""
        homes: dict[str, str] = {}
        writers: dict[str, str] = {}
        for host in self.hosts.values():
            taken = sum(guest.config.memory.current_bytes for guest in host.guests.values())
            if taken > host.capabilities.memory_bytes:
                self._break(f"the guests of {host.id} take more memory than it has")
            for vm, guest in host.guests.items():
                if guest.state == "incoming":
                    continue
                if vm in homes:
                    self._break(f"{guest.config.object} runs on {homes[vm]} and {host.id}")
                homes[vm] = host.id
                for disk in guest.config.disks:
                    other = writers.setdefault(disk.image, vm)
                    if other != vm and not disk.read_only:
                        self._break(f"{disk.name} is written by {other} and {vm}")

    def count_effect(self, key: str) -> None:
        """An order takes effect. Raises BrokenPromiseError the second time."""
        self.effects[key] += 1
        if self.effects[key] > 1:
            self._break(f"{key} took effect twice")

    def _break(self, promise: str) -> None:
        self.broken.append(promise)
        raise BrokenPromiseError(promise)

    def power_off(self, host: str) -> None:
        """The plug is pulled: guests are gone, the agent is silent; records know nothing of it."""
        self.hosts[host].guests.clear()
        self.hosts[host].powered = False
        self.note(host, "power off")

    def power_on(self, host: str) -> None:
        """Another boot, without guests; the agent looks after what its ledger holds open."""
        one = self.hosts[host]
        one.powered, one.boots = True, one.boots + 1
        one.begin_life(self.now_ms)
        self.note(host, "power on")
        recover_orders(self.storage, one)

    def restart_agent(self, host: str) -> None:
        """The agent is killed and started again; guests and migrations go on."""
        one = self.hosts[host]
        one.agent_starts += 1
        one.begin_life(self.now_ms)
        self.note(host, "agent restarted")
        recover_orders(self.storage, one)

    def cut(self, host: str) -> None:
        """The network is cut: guests run on, nobody can ask."""
        self.hosts[host].reachable = False
        self.note(host, "network cut")

    def mend(self, host: str) -> None:
        """The network is back."""
        self.hosts[host].reachable = True
        self.note(host, "network back")

    def end_guest(self, vm: str, reason: ExitReason) -> None:
        """A guest (object id) ends without an order, wherever it runs. Raises SimulationFault if it does not run."""
        for host in self.hosts.values():
            for uuid, guest in host.guests.items():
                if guest.config.object == vm and guest.state != "incoming":
                    host.lose_guest(uuid, reason, self.now_ms)
                    self.note(host.id, f"{vm} {ENDS.get(reason, reason)}")
                    return
        raise SimulationFault(f"{vm} does not run")

    def lose_ledger(self, host: str) -> None:
        """The agent's state directory is gone: a new ledger that takes no orders until a resync."""
        one = self.hosts[host]
        one.ledger.clear()
        one.last_of.clear()
        one.ledgers += 1
        one.epoch, one.holder, one.lease_until_ms, one.lease_ms = 0, "", 0, 0
        one.lease_renewed, one.resync_needed = False, True
        one.changed()
        self.note(host, "ledger lost")

    def lose_master(self) -> None:
        """The storage with the records is lost, and its place comes back empty. Copies are left on other domains."""
        for domain in self._masters():
            domain.pool = None
            for kept in (domain.vms, domain.disks, domain.volumes, domain.kept, domain.set_aside):
                kept.clear()
        self.note("storage", "the master domain comes back empty")

    def restore_master(self) -> None:
        """A person brings the records back from their copies; host ids, and records without a copy, are lost for good."""
        copies = [one for domain in self.storage.values() if not domain.master for one in domain.vms.values()]
        for domain in self._masters():
            for record in sorted(copies, key=lambda one: one.revision):
                domain.vms[record.uuid] = record
        self.note("storage", "records are restored from their copies")

    def _masters(self) -> list[SimulatedStorage]:
        found = [one for one in self.storage.values() if one.master]
        if not found:
            raise SimulationFault("there is no master domain yet")
        return found
