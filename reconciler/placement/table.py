"""The hosts of one cluster as arrays over hosts, with what running and just placed VMs take from them.

The one mutable value of this package; it lives for one pass.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nodeagent.wire.facts import HostCapabilities, HostState, HostStatistics
from reconciler.model.bridges import obstacle_to_network
from reconciler.model.capacity import host_capacity
from reconciler.model.desired import Cluster, Desired, Host
from reconciler.model.observed import Observed
from reconciler.placement.demand import VmDemand

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
UNKNOWN = -1


@dataclass(slots=True)
class HostTable:
    """Hosts in id order. free: bytes left for guests; load: percent of one CPU summed over `cpus`, -1 if not reported;
    minutes: percent of the whole host, newest minute first; physical, swap_free: bytes of memory that are free by
    statistics (-1 if not reported); guests, vcpus: how many are there. spm:
    the host with the SPM role, by position; no host has it yet. matches: answers of `matching`."""

    ids: tuple[str, ...]
    cpus: Integers
    free: Integers
    load: Integers
    minutes: tuple[tuple[int, ...], ...]
    physical: Integers
    swap_free: Integers
    swap_used_percent: Integers
    capabilities: tuple[HostCapabilities, ...]
    networks: tuple[frozenset[str], ...]
    domains: tuple[frozenset[str], ...]
    guests: Integers
    vcpus: Integers
    index: Mapping[str, int] = field(default_factory=dict)
    spm: int | None = None
    matches: dict[tuple[str, Hashable], Booleans] = field(default_factory=dict)

    def matching(self, wanted: tuple[str, Hashable], fits: Callable[[int], bool]) -> Booleans:
        """Hosts (by position) that fit what is wanted, found once for each: only by what no placed VM changes."""
        if wanted not in self.matches:
            self.matches[wanted] = np.fromiter((fits(n) for n in range(len(self.ids))), dtype=np.bool_)
            self.matches[wanted].flags.writeable = False
        return self.matches[wanted]

    def lasting_percent(self, duration: int) -> Integers:
        """The least percent of the last minutes, so many; 0 where so many have not been measured yet."""
        return _integers(min(one[:duration]) if len(one) >= duration else 0 for one in self.minutes)

    def position(self, host: str | None) -> int | None:
        """Where a host stands in the arrays; None for a host that is no candidate."""
        return self.index.get(host) if host is not None else None

    def add(self, demand: VmDemand, host: int) -> None:
        """Takes a VM's share from a host, so that the next decision sees it."""
        self.free[host] -= demand.memory_bytes
        if self.physical[host] != UNKNOWN:
            self.physical[host] -= demand.memory_bytes
        if self.load[host] != UNKNOWN:
            self.load[host] += demand.load
        self.guests[host] += 1
        self.vcpus[host] += demand.vcpus

    def remove(self, demand: VmDemand, host: int) -> None:
        """Gives a leaving VM's share back, as if it had touched all of its memory."""
        self.free[host] += demand.released_bytes
        if self.physical[host] != UNKNOWN:
            self.physical[host] += demand.released_bytes
        self.guests[host] -= 1
        self.vcpus[host] -= demand.vcpus


def build_table(desired: Desired, observed: Observed, cluster: Cluster, used: Mapping[str, int]) -> HostTable:
    """The candidate hosts of a cluster: they answer, are who they should be, and are not to be in maintenance.

    used: bytes by host id that VMs staying there take.
    """
    hosts = [(host, state, statistics) for host, state, statistics in _candidates(desired, observed, cluster)]
    ids = tuple(host.meta.id for host, _, _ in hosts)
    capabilities = tuple(state.capabilities for _, state, _ in hosts)
    percent = cluster.memory_overcommit_percent
    cpus = _integers(one.threads if cluster.count_threads_as_cores else one.cores for one in capabilities)
    return HostTable(
        ids=ids,
        cpus=cpus,
        free=_integers(
            host_capacity(one, percent) - used.get(name, 0)
            for name, one in zip(ids, capabilities, strict=True)
        ),
        load=_integers(_load(one, int(count)) for (_, _, one), count in zip(hosts, cpus, strict=True)),
        minutes=tuple(one.cpu_percent if one else () for _, _, one in hosts),
        physical=_integers(_first(one.memory_free_bytes if one else (), UNKNOWN) for _, _, one in hosts),
        swap_free=_integers(_first(one.swap_free_bytes if one else (), 0) for _, _, one in hosts),
        swap_used_percent=_integers(_swap_used(state, one) for _, state, one in hosts),
        capabilities=capabilities,
        networks=tuple(_networks(desired, host, state) for host, state, _ in hosts),
        domains=tuple(_domains(desired, host, state) for host, state, _ in hosts),
        guests=_integers(len(state.guests) for _, state, _ in hosts),
        vcpus=_integers(_vcpus(state) for _, state, _ in hosts),
        index={name: position for position, name in enumerate(ids)},
    )


def _candidates(
    desired: Desired, observed: Observed, cluster: Cluster
) -> Iterable[tuple[Host, HostState, HostStatistics | None]]:
    """Hosts that may take guests in this plan, by id."""
    for name, host in desired.hosts.items():
        seen = observed.hosts.get(name)
        if host.cluster != cluster.meta.id or host.maintenance or seen is None or not seen.answering:
            continue
        ours = seen.belongs_to(desired.data_center.uuid)
        if ours and seen.state is not None and seen.state.host_uuid == host.uuid:
            yield host, seen.state, seen.statistics


def _integers(values: Iterable[int]) -> Integers:
    return np.fromiter(values, dtype=np.int64)


def _first(values: tuple[int, ...], otherwise: int) -> int:
    return values[0] if values else otherwise


def _load(statistics: HostStatistics | None, cpus: int) -> int:
    """Percent of one CPU in the newest minute, summed over the CPUs that count."""
    share = _first(statistics.cpu_percent if statistics else (), UNKNOWN)
    return share * cpus if share != UNKNOWN else UNKNOWN


def _vcpus(state: HostState) -> int:
    """vCPUs of the guests there; one for a guest of which nothing is known."""
    return sum(one.config.cpu.vcpus if one.config else 1 for one in state.guests)


def _swap_used(state: HostState, statistics: HostStatistics | None) -> int:
    """(swapTotal - swapFree - memFree) * 100 / physical memory, at least 0; missing figures count as not swapping."""
    if statistics is None or not statistics.swap_free_bytes or not statistics.memory_free_bytes:
        return 0
    used = statistics.swap_total_bytes - statistics.swap_free_bytes[0] - statistics.memory_free_bytes[0]
    return max(0, used * 100 // max(1, state.capabilities.memory_bytes))


def _networks(desired: Desired, host: Host, state: HostState) -> frozenset[str]:
    """Networks that the host has, or will once the plan has made them."""
    uplinks = {one.network: one.nic for one in host.networks}
    return frozenset(
        name
        for name in (*desired.clusters[host.cluster].networks, *uplinks)
        if obstacle_to_network(state, name, desired.networks[name].bridge, uplinks.get(name)) is None
    )


def _domains(desired: Desired, host: Host, state: HostState) -> frozenset[str]:
    """Storage domains that the host reaches, or will once the plan has connected them; by uuid, if undeclared."""
    declared = {one.uuid for one in desired.storage_domains.values()}
    others = (f"sd/{one.uuid}" for one in state.storage if one.uuid not in declared and one.state == "active")
    reached = (name for name, one in desired.storage_domains.items() if one.host in (None, host.meta.id))
    return frozenset((*reached, *others))
