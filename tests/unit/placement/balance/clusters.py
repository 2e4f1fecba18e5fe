"""Small clusters for the tests of balancing, and random ones for its laws."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from reconciler.placement.balance.state import ClusterState, Hosts, Rules, Vms

GIB = 1 << 30


def cluster(
    hosts: Sequence[tuple[int, int]],
    vms: Sequence[tuple[int, int]],
    *,
    vcpus: int = 1,
    load: Sequence[float] | None = None,
    allowed: Sequence[Sequence[int]] | None = None,
    kind: Sequence[int] | None = None,
    spread: Sequence[Sequence[int]] = (),
    gather: Sequence[Sequence[int]] = (),
    fixed: Sequence[int] = (),
    unsent: Sequence[int] = (),
    unreceived: Sequence[int] = (),
) -> ClusterState:
    """hosts: (GiB, CPUs); vms: (GiB, host); fixed: VMs that may not move; unsent, unreceived: hosts that send, receive
    none."""
    number, count = len(hosts), len(vms)
    memory = np.array([gib for gib, _ in vms], dtype=np.int64) * GIB
    return ClusterState(
        Hosts(
            memory_bytes=np.array([gib for gib, _ in hosts], dtype=np.int64) * GIB,
            cpus=np.array([cpus for _, cpus in hosts], dtype=np.int64),
            extra_load_percent=np.zeros(number),
            most_load_percent=np.full(number, np.inf),
            most_vcpus=np.full(number, np.inf),
            receives=~np.isin(np.arange(number), list(unreceived)),
            sends=~np.isin(np.arange(number), list(unsent)),
        ),
        Vms(
            memory_bytes=memory,
            vcpus=np.full(count, vcpus, dtype=np.int64),
            load_percent=np.array(load if load is not None else [0.0] * count),
            host=np.array([host for _, host in vms], dtype=np.int64),
            kind=np.array(kind if kind is not None else [0] * count, dtype=np.int64),
            movable=~np.isin(np.arange(count), list(fixed)),
            restarts=np.ones(count, dtype=np.bool_),
            move_bytes=memory,
        ),
        Rules(
            np.array(allowed if allowed is not None else [[1] * number], dtype=np.bool_),
            tuple(map(tuple, spread)),
            tuple(map(tuple, gather)),
        ),
    )


@st.composite
def clusters(draw: st.DrawFn) -> ClusterState:
    """Up to six hosts of two sizes and forty VMs, some nearly full, with rules that hold at the start."""
    number = draw(st.integers(2, 6))
    hosts = draw(st.lists(st.sampled_from([(32, 8), (48, 16)]), min_size=number, max_size=number))
    room = [gib for gib, _ in hosts]
    vms: list[tuple[int, int]] = []
    for _ in range(draw(st.integers(0, 40))):
        size = draw(st.sampled_from([1, 2, 3, 5, 8, 16]))
        fitting = [host for host in range(number) if room[host] >= size]
        if fitting:
            place = draw(st.sampled_from(fitting))
            room[place] -= size
            vms.append((size, place))
    positions = range(len(vms))
    kinds = [[int(draw(st.booleans())) for _ in range(number)] for _ in range(2)]
    groups: list[list[int]] = []
    for _ in range(draw(st.integers(0, 3)) if vms else 0):
        members: dict[int, int] = {}
        for vm in draw(st.lists(st.sampled_from(positions), max_size=4, unique=True)):
            members.setdefault(vms[vm][1], vm)
        groups.append(sorted(members.values()))
    return cluster(
        hosts,
        vms,
        load=[draw(st.integers(0, 80)) * 1.0 for _ in vms],
        allowed=[[1] * number, *kinds],
        kind=[draw(st.sampled_from([0, 0, 0, 1, 2])) for _ in vms],
        spread=groups,
        gather=[
            sorted(one) for one in draw(st.lists(st.sets(st.sampled_from(positions), max_size=3), max_size=1))
        ] if vms else [],
        fixed=[vm for vm in positions if draw(st.integers(0, 9)) == 0],
        unreceived=draw(st.sets(st.integers(0, number - 1), max_size=1)),
        unsent=draw(st.sets(st.integers(0, number - 1), max_size=1)),
    )  # fmt: skip


def broken(state: ClusterState) -> set[tuple[str, int, int]]:
    """Hard rules that a state breaks, in plain loops: what, which, where."""
    hosts, vms, rules = state.hosts, state.vms, state.rules
    found: set[tuple[str, int, int]] = set()
    place = [int(one) for one in vms.host]
    for vm, host in enumerate(place):
        if not rules.allowed[vms.kind[vm], host]:
            found.add(("allowed", vm, host))
    for host in range(len(hosts.cpus)):
        there = [vm for vm, one in enumerate(place) if one == host]
        if sum(int(vms.memory_bytes[vm]) for vm in there) > hosts.memory_bytes[host]:
            found.add(("memory", host, host))
        if sum(float(vms.load_percent[vm]) for vm in there) > hosts.most_load_percent[host]:
            found.add(("load", host, host))
        if sum(int(vms.vcpus[vm]) for vm in there) > hosts.most_vcpus[host]:
            found.add(("vcpus", host, host))
    for number, group in enumerate(rules.spread):
        for host in {place[vm] for vm in group}:
            if sum(place[vm] == host for vm in group) > 1:
                found.add(("spread", number, host))
    for number, group in enumerate(rules.gather):
        if len({place[vm] for vm in group}) > 1:
            found.add(("gather", number, 0))
    return found
