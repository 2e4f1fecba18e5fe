"""What balancing reads: hosts, VMs and hard rules as arrays, frozen. Hosts and VMs are positions; names stay outside.

Nothing is checked here: who fills it in has validated manifests and facts already.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Hosts:
    """One entry a host. memory_bytes: for guests, after over-commitment; cpus: that count in the cluster;
    extra_load_percent: of one CPU, beside the VMs listed (the host's own work, an SPM's charge); most_load_percent: of
    one CPU summed over the host, what moves may fill it up to (inf: no limit); most_vcpus: likewise (inf: no limit).
    receives, sends: whether VMs may come and leave."""

    memory_bytes: Integers
    cpus: Integers
    extra_load_percent: Floats
    most_load_percent: Floats
    most_vcpus: Floats
    receives: Booleans
    sends: Booleans


@dataclass(frozen=True, slots=True, eq=False)
class Vms:
    """One entry a VM that runs. memory_bytes: with overhead, what it takes from a host; load_percent: of one CPU, all its
    vCPUs together; host: where it runs; kind: its row in `Rules.allowed`; restarts: whether it would be started elsewhere
    if its host were lost; move_bytes: what a move is expected to carry (memory, and what is written meanwhile)."""

    memory_bytes: Integers
    vcpus: Integers
    load_percent: Floats
    host: Integers
    kind: Integers
    movable: Booleans
    restarts: Booleans
    move_bytes: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """allowed: by kind of VM and host, all that filters say but capacity and the groups. spread: groups of VMs (by
    position) of which no two may be on one host. gather: groups that belong on one host; two of them cannot be moved
    in one moment, so that balancing leaves a group of several where it is."""

    allowed: Booleans
    spread: tuple[tuple[int, ...], ...] = ()
    gather: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ClusterState:
    """One cluster at one moment."""

    hosts: Hosts
    vms: Vms
    rules: Rules

    def with_places(self, host: Integers) -> "ClusterState":
        """The same cluster with its VMs (by position) on these hosts."""
        return replace(self, vms=replace(self.vms, host=host.copy()))


def movable_vms(state: ClusterState) -> Booleans:
    """The VMs that balancing may touch: movable, on a host that sends, and in no gather group of several."""
    movable = state.vms.movable & state.hosts.sends[state.vms.host]
    for group in state.rules.gather:
        if len(group) > 1:
            movable[list(group)] = False
    return movable
