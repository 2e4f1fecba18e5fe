"""Clusters to balance, as arrays: unevenly filled ones of several shapes, the same for the same seed."""

import random
from collections.abc import Callable

import numpy as np

from reconciler.placement.balance.state import ClusterState, Hosts, Rules, Vms

MIB, GIB = 1 << 20, 1 << 30
SIZES = ((1, 1), (2, 1), (4, 2), (8, 4), (16, 4), (32, 8))
"""GiB and vCPUs of common VMs."""
COMMON = (15, 25, 25, 20, 10, 5)
VCPUS_PER_CPU = 4
FILLED = 0.85
"""No host begins fuller than that."""

Shape = Callable[[int, int, random.Random], tuple[list[tuple[int, int]], list[tuple[int, int]]]]
"""Hosts and VMs, each as GiB and CPUs."""


def _even(hosts: int, vms: int, chance: random.Random) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    return [(252, 64)] * hosts, chance.choices(SIZES, COMMON, k=vms)


def _mixed(
    hosts: int, vms: int, chance: random.Random
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    return chance.choices([(124, 32), (252, 64), (508, 96)], k=hosts), chance.choices(SIZES, COMMON, k=vms)


def _huge(hosts: int, vms: int, chance: random.Random) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    few = max(1, hosts // 4)
    return [(252, 64)] * hosts, [(120, 32)] * few + chance.choices(SIZES[:4], COMMON[:4], k=vms - few)


def _full(hosts: int, vms: int, chance: random.Random) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Memory of the hosts is so chosen that VMs take nine tenths of it."""
    guests = chance.choices(SIZES, COMMON, k=vms)
    return [(round(sum(gib for gib, _ in guests) / hosts / 0.9), 64)] * hosts, guests


SHAPES: dict[str, tuple[Shape, float]] = {
    "even": (_even, FILLED),
    "mixed": (_mixed, FILLED),
    "huge": (_huge, FILLED),
    "full": (_full, 1.0),
}
"""Each with how full a host may be at the start."""


def make_cluster(shape: str, hosts: int, vms: int, seed: int, *, load: bool = False) -> ClusterState:
    """Hosts with low positions get most VMs. load: whether VMs take CPU time, a few of them much."""
    chance = random.Random(f"{shape} {hosts} {vms} {seed}")
    make, filled = SHAPES[shape]
    machines, guests = make(hosts, vms, chance)
    guests.sort(reverse=True)  # so that large ones find room
    places = _places(machines, guests, filled, chance)
    memory = np.array([gib for gib, _ in guests], dtype=np.int64) * GIB
    cpus = np.array([count for _, count in machines], dtype=np.int64)
    vcpus = np.array([count for _, count in guests], dtype=np.int64)
    busy = np.array([min(0.95, chance.expovariate(6)) if load else 0.0 for _ in guests])
    return ClusterState(
        Hosts(
            memory_bytes=np.array([gib for gib, _ in machines], dtype=np.int64) * GIB,
            cpus=cpus,
            extra_load_percent=np.zeros(hosts),
            most_load_percent=np.full(hosts, np.inf),
            most_vcpus=(cpus * VCPUS_PER_CPU).astype(np.float64),
            receives=np.ones(hosts, dtype=np.bool_),
            sends=np.ones(hosts, dtype=np.bool_),
        ),
        Vms(
            memory_bytes=memory,
            vcpus=vcpus,
            load_percent=np.round(100 * busy * vcpus, 1),
            host=np.array(places, dtype=np.int64),
            kind=np.zeros(vms, dtype=np.int64),
            movable=np.ones(vms, dtype=np.bool_),
            restarts=np.ones(vms, dtype=np.bool_),
            move_bytes=memory,
        ),
        Rules(np.ones((1, hosts), dtype=np.bool_)),
    )


def _places(
    machines: list[tuple[int, int]], guests: list[tuple[int, int]], filled: float, chance: random.Random
) -> list[int]:
    """A host for each VM, skewed towards the first; the one with most room if a hundred throws find none."""
    room = [gib * filled for gib, _ in machines]
    left = [cpus * VCPUS_PER_CPU for _, cpus in machines]
    places: list[int] = []
    for gib, vcpus in guests:
        throws = (int(len(machines) * chance.random() ** 2.5) for _ in range(100))
        place = next((one for one in throws if room[one] >= gib and left[one] >= vcpus), None)
        if place is None:
            place = max(range(len(machines)), key=lambda one: (left[one] >= vcpus, room[one]))
        room[place] -= gib
        left[place] -= vcpus
        places.append(place)
    return places
