"""How far a cluster is from balance, and by how much a change of two hosts brings it nearer: exact, for many at once.

score = sum over memory, CPU load, vCPUs and VM numbers of weight * points, + weight * shortage; 0 is perfect.
spread = sqrt(variance over hosts of used / size + FINE**2) - FINE: a standard deviation, but what is finer than FINE
hardly counts. points = what of the spread is beyond `Weights.even`, and a small part (WITHIN) of the whole.
shortage: of spare room, see `spare`.
"""

from dataclasses import dataclass

import numpy as np

from reconciler.placement.balance.spare import SpareRoom, spare_room
from reconciler.placement.balance.state import Booleans, ClusterState, Floats, Integers

MEMORY, LOAD, VCPUS, NUMBER = range(4)
FINE = 0.002
"""A fifth of a percent of a host: nobody feels a smaller difference."""
WITHIN = 0.02
"""So little tells apart moves that cost the same, and is worth none by itself."""
BEND = 0.15
"""Of what is even already: so far around it, what is beyond begins to count."""
WHOLE_CPU = 100
"""Load is in percent of one CPU."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What one unit of each spread counts. memory: share of a host's memory; load: share of its CPUs; vcpus: vCPUs for
    each CPU; number: VMs as a share of the mean number; spare: share of a host's memory for whose VMs there would be
    no room elsewhere (N+1), mean of all hosts. even: the spread of memory and of vCPUs that counts as even already.

    CPU load counts more than memory, since guests feel it, and to the last percent. VM numbers count to the last VM:
    they stand for all load that nobody measures (disks, networks), as they do in Ganeti.
    """

    memory: float = 1.0
    load: float = 2.0
    vcpus: float = 0.7
    number: float = 0.7
    spare: float = 4.0
    even: float = 0.09


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """What never changes while one cluster is balanced. takes: by VM and resource; sizes, limits: by host and resource
    (inf: no limit); counted: the hosts that take part, which are `number`, with `mean` VMs each; even,
    weights: by resource."""

    takes: Floats
    sizes: Floats
    limits: Floats
    counted: Booleans
    number: int
    mean: float
    even: Floats
    weights: Floats


def scales_of(state: ClusterState, weights: Weights) -> Scales:
    """Hosts that neither send nor receive VMs do not count."""
    hosts, vms = state.hosts, state.vms
    counted = hosts.receives | hosts.sends
    mean = max(1.0, float(counted[vms.host].sum()) / max(1, int(counted.sum())))
    nothing = np.zeros(len(hosts.cpus))
    return Scales(
        takes=np.column_stack([vms.memory_bytes, vms.load_percent, vms.vcpus, np.ones(len(vms.host))]),
        sizes=np.maximum(
            np.column_stack([hosts.memory_bytes, hosts.cpus * WHOLE_CPU, hosts.cpus, nothing + mean]), 1.0
        ),
        limits=np.column_stack(
            [hosts.memory_bytes, hosts.most_load_percent, hosts.most_vcpus, nothing + np.inf]
        ),
        counted=counted,
        number=max(1, int(counted.sum())),
        mean=mean,
        even=np.array([weights.even, 0.0, weights.even, 0.0]),
        weights=np.array([weights.memory, weights.load, weights.vcpus, weights.number]),
    )


def used_of(state: ClusterState, takes: Floats) -> Floats:
    """What the VMs (and a host's extra load) take: by host and resource."""
    used = np.zeros((len(state.hosts.cpus), takes.shape[1]))
    np.add.at(used, state.vms.host, takes)
    used[:, LOAD] += state.hosts.extra_load_percent
    return used


def points(scales: Scales, variances: Floats) -> Floats:
    """Variances (the last axis by resource) to points of the score; rounding below zero counts as zero."""
    spread = np.sqrt(np.maximum(variances, 0.0) + FINE**2) - FINE
    felt = (_beyond(spread, scales.even) - _beyond(np.zeros(1), scales.even)) / 2
    return np.asarray((WITHIN * spread + (1 - WITHIN) * felt) @ scales.weights)


def slopes(scales: Scales, variances: Floats) -> Floats:
    """By how much the score rises with N times the variance of each resource."""
    root = np.sqrt(variances + FINE**2)
    beyond = root - FINE - scales.even
    bend = np.hypot(beyond, BEND * scales.even)
    felt = (1 + np.divide(beyond, bend, out=np.ones_like(bend), where=bend > 0)) / 2
    steep = WITHIN + (1 - WITHIN) * felt
    return np.asarray(scales.weights * steep / (2 * root) / scales.number)


def _beyond(spread: Floats, even: Floats) -> Floats:
    """Twice what is beyond, without a corner: a search would stop at one."""
    return np.asarray(spread - even + np.hypot(spread - even, BEND * even))


@dataclass(slots=True, eq=False)
class Tally:
    """What each host carries while a search goes on.

    used: by host and resource; offsets: each host's share above the mean; variances: of the shares, by resource.
    """

    scales: Scales
    used: Floats
    offsets: Floats
    variances: Floats
    spare: SpareRoom
    spare_weight: float

    def measure(self) -> None:
        """Offsets and variances anew from what is used, so that no rounding adds up."""
        counted = self.scales.counted
        shares = self.used / self.scales.sizes
        self.offsets = shares - shares[counted].sum(axis=0) / self.scales.number
        self.variances = np.asarray((self.offsets[counted] ** 2).sum(axis=0) / self.scales.number)

    def score(self) -> float:
        """0 is perfect balance."""
        return float(points(self.scales, self.variances)) + self.spare_weight * self.spare.shortage()

    def changes(self, vms: Integers, partners: Integers, sources: Integers, targets: Integers) -> Floats:
        """By how much the score changes if a VM went from source to target and its partner (-1: none) came back; one
        entry a candidate, each alone."""
        scales = self.scales
        amounts = scales.takes[vms] - np.where(partners[:, None] >= 0, scales.takes[partners], 0.0)
        out, into = amounts / scales.sizes[sources], amounts / scales.sizes[targets]
        squares = out * (out - 2 * self.offsets[sources]) + into * (into + 2 * self.offsets[targets])
        after = self.variances + squares / scales.number - ((into - out) / scales.number) ** 2
        change = points(scales, after) - points(scales, self.variances)
        if self.spare_weight and not self.spare.is_ample():
            change += self.spare_weight * self.spare.changes(vms, partners, sources, targets)
        return np.asarray(change)

    def apply(self, vm: int, partner: int, source: int, target: int) -> None:
        """Moves a VM, and its partner (-1: none) the other way."""
        takes = self.scales.takes
        amount = takes[vm] - takes[partner] if partner >= 0 else takes[vm]
        self.used[source] -= amount
        self.used[target] += amount
        self.spare.apply(vm, partner, source, target)
        self.measure()


def tally_of(state: ClusterState, weights: Weights) -> Tally:
    """The tally of a state as it is."""
    scales = scales_of(state, weights)
    used = used_of(state, scales.takes)
    tally = Tally(scales, used, used, scales.weights, spare_room(state, scales.counted), weights.spare)
    tally.measure()
    return tally
