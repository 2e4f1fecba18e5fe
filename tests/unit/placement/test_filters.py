"""Each filter by its name: which hosts it keeps, and in which words it drops the others."""

from dataclasses import replace

import numpy as np
import pytest

from nodeagent.wire.facts import HostCapabilities
from reconciler.model.policies import BUILT_IN
from reconciler.placement.demand import VmDemand
from reconciler.placement.filters import FILTERS
from reconciler.placement.policies import make_policy
from reconciler.placement.selection import dropped_by, ranks, select_host, surviving
from reconciler.placement.table import UNKNOWN, HostTable

GIB = 2**30
VALUES = {"HighUtilization": 80, "CpuOverCommitDurationMinutes": 2}
NONE = make_policy(BUILT_IN["sched/none"], VALUES)
"""oVirt's default policy."""
CAPABLE = HostCapabilities(8 * GIB, 8, 8, 1, True, cpu_models=("qemu64", "Nehalem"), machines=("pc-q35-7.2",))
DEMAND = VmDemand(
    vm="vm/web-1",
    memory_bytes=GIB,
    vcpus=2,
    load=20,
    machine="pc-q35-7.2",
    cpu_model="Nehalem",
    networks=frozenset({"net/vms"}),
    domains=frozenset({"sd/shared"}),
    pinned=frozenset(),
    bound=frozenset(),
    current=None,
)


def table(**columns) -> HostTable:
    """Two like hosts; `columns` replace what is given for both."""
    ids = ("host/h1", "host/h2")
    usual = {
        "cpus": np.array([8, 8]),
        "free": np.array([4 * GIB, 4 * GIB]),
        "load": np.array([80, 80]),
        "minutes": ((100, 100), (100, 100)),
        "physical": np.array([UNKNOWN, UNKNOWN]),
        "swap_free": np.array([0, 0]),
        "swap_used_percent": np.array([0, 0]),
        "capabilities": (CAPABLE, CAPABLE),
        "networks": (DEMAND.networks, DEMAND.networks),
        "domains": (DEMAND.domains, DEMAND.domains),
        "guests": np.array([0, 0]),
        "vcpus": np.array([0, 0]),
    }
    return HostTable(ids=ids, index={name: at for at, name in enumerate(ids)}, **(usual | columns))


CASES = {
    "PinToHost": ({"pinned": frozenset({"host/h1"})}, {}, "the VM is pinned to host/h1"),
    "Migration": ({"away": True, "destination": "host/h1"}, {}, "somebody asked for host/h1"),
    "CPU-Level": (
        {},
        {"capabilities": (CAPABLE, replace(CAPABLE, cpu_models=("qemu64",)))},
        "it cannot run CPU model Nehalem (at best qemu64)",
    ),
    "Emulated-Machine": (
        {},
        {"capabilities": (CAPABLE, replace(CAPABLE, machines=()))},
        "it has no machine type pc-q35-7.2",
    ),
    "CPU": ({"vcpus": 8}, {"cpus": np.array([8, 4])}, "not enough CPU cores: the VM has 8 vCPUs, the host 4"),
    "CPUOverloaded": ({}, {"load": np.array([640, 648])}, "CPU too loaded: 81 %, more than 80 % for 2 min"),
    "Swap": ({}, {"swap_used_percent": np.array([0, 3])}, "it is swapping: 3 % of its memory"),
    "Memory": ({}, {"free": np.array([GIB, GIB - 1])}, "available memory too low: 1023Mi of 1Gi needed"),
    "Network": ({}, {"networks": (DEMAND.networks, frozenset())}, "network missing: net/vms"),
    "Storage": (
        {},
        {"domains": (DEMAND.domains, frozenset())},
        "storage domain out of reach: sd/shared",
    ),
}


def test_every_filter_has_a_case():
    assert CASES.keys() | {"ClusterInMaintenance"} == FILTERS.keys()


@pytest.mark.parametrize(
    ("fields", "kept"),
    [({}, False), ({"restarts": True}, True), ({"current": "host/h1"}, True)],
    ids=["to start", "restarts by itself", "runs"],
)
def test_a_cluster_in_maintenance_starts_only_what_restarts_by_itself(fields, kept):
    unit = FILTERS["ClusterInMaintenance"](VALUES)

    assert unit.keep(replace(DEMAND, **fields), table()).tolist() == [kept, kept]


def test_minutes_and_percents_are_those_of_the_policy():
    unit = FILTERS["CPUOverloaded"]({"HighUtilization": 60, "CpuOverCommitDurationMinutes": 3})
    hosts = table(load=np.array([520, 520]), minutes=((61, 62, 63), (61, 62, 59)))

    assert unit.keep(DEMAND, hosts).tolist() == [False, True]
    assert FILTERS["Swap"]({"MaximumAllowedSwapUsage": 5}).keep(
        DEMAND, table(swap_used_percent=np.array([5, 6]))
    ).tolist() == [True, False]


@pytest.mark.parametrize("name", CASES)
def test_a_filter_drops_the_second_host_and_says_why(name):
    fields, columns, reason = CASES[name]
    demand, hosts, unit = replace(DEMAND, **fields), table(**columns), FILTERS[name](VALUES)

    assert unit.keep(demand, hosts).tolist() == [True, False]
    assert unit.reason(demand, hosts, 1) == reason
    assert dropped_by(NONE, demand, hosts) == ((name, 1),)
    assert select_host(NONE, demand, hosts) == 0


def test_hosts_that_lack_nothing_survive_every_filter():
    assert surviving(NONE, DEMAND, table()).tolist() == [True, True]


@pytest.mark.parametrize("name", ["CPUOverloaded", "Memory"])
def test_a_guest_may_stay_on_a_full_host(name):
    hosts = table(load=np.array([800, 800]), free=np.array([0, 0]))

    assert FILTERS[name](VALUES).keep(replace(DEMAND, current="host/h2"), hosts).tolist() == [False, True]


@pytest.mark.parametrize(("lasting", "kept"), [(79, True), (80, False)])
def test_a_load_that_was_there_for_a_moment_keeps_no_vm_away(lasting, kept):
    hosts = table(load=np.array([720, 720]), minutes=((lasting, 100), (lasting, 100)))

    assert FILTERS["CPUOverloaded"](VALUES).keep(DEMAND, hosts).tolist() == [kept, kept]


def test_a_vm_goes_nowhere_where_something_else_than_guests_has_taken_the_memory():
    hosts = table(physical=np.array([GIB, GIB - 2**20]))
    unit = FILTERS["Memory"](VALUES)

    assert unit.keep(DEMAND, hosts).tolist() == [True, False]
    assert unit.reason(DEMAND, hosts, 1) == "not so much memory is free: 1023Mi of 1Gi needed"


@pytest.mark.parametrize(("physical", "swap", "kept"), [(GIB // 2, GIB // 2, True), (-2, 4 * GIB, False)])
def test_free_swap_counts_as_memory_while_there_is_memory(physical, swap, kept):
    hosts = table(physical=np.array([physical] * 2), swap_free=np.array([swap] * 2))

    assert FILTERS["Memory"](VALUES).keep(DEMAND, hosts).tolist() == [kept, kept]


def test_what_is_placed_takes_free_memory_and_what_leaves_gives_it_back():
    hosts = table(physical=np.array([2 * GIB, UNKNOWN]))

    hosts.add(DEMAND, 0)
    hosts.add(DEMAND, 1)
    assert hosts.physical.tolist() == [GIB, UNKNOWN]

    hosts.remove(replace(DEMAND, released_bytes=GIB), 0)
    assert hosts.physical.tolist() == [2 * GIB, UNKNOWN]


def test_a_host_without_statistics_is_not_called_overloaded():
    assert FILTERS["CPUOverloaded"](VALUES).keep(DEMAND, table(load=np.array([UNKNOWN] * 2))).all()


@pytest.mark.parametrize("model", [None, "host-passthrough", "maximum", "host-model"])
def test_host_models_run_everywhere(model):
    assert FILTERS["CPU-Level"](VALUES).keep(replace(DEMAND, cpu_model=model), table()).all()


def test_a_vm_bound_by_its_tpm_goes_nowhere_else():
    demand = replace(DEMAND, bound=frozenset({"host/h2"}))

    assert FILTERS["PinToHost"](VALUES).keep(demand, table()).tolist() == [False, True]
    assert FILTERS["PinToHost"](VALUES).reason(demand, table(), 0) == "the VM's TPM state lies on host/h2"


def test_pinned_and_bound_to_different_hosts_fits_nowhere():
    demand = replace(DEMAND, bound=frozenset({"host/h2"}), pinned=frozenset({"host/h1"}))

    assert not FILTERS["PinToHost"](VALUES).keep(demand, table()).any()


@pytest.mark.parametrize(
    ("scores", "kept", "expected"),
    [
        ([10, 20, 30], [True, True, True], [2, 1, 0]),
        ([10, 10, 30], [True, True, True], [2, 2, 0]),
        ([10, 20, 30], [False, True, True], [0, 1, 0]),
        ([5], [True], [0]),
    ],
)
def test_rank_counts_the_survivors_that_are_not_better(scores, kept, expected):
    assert ranks(np.array(scores), np.array(kept)).tolist() == expected


def test_the_idle_host_wins_over_the_one_with_more_memory():
    hosts = table(load=np.array([400, 40]), free=np.array([8 * GIB, 4 * GIB]))

    assert select_host(NONE, DEMAND, hosts) == 1


def test_like_hosts_are_taken_in_order_of_their_ids():
    assert select_host(NONE, DEMAND, table()) == 0


def test_a_host_gives_and_takes_what_a_vm_really_takes():
    hosts = table()
    mover = replace(DEMAND, memory_bytes=2 * GIB, released_bytes=GIB, current="host/h2")

    hosts.add(mover, 0)
    hosts.remove(mover, 1)

    assert hosts.free.tolist() == [2 * GIB, 5 * GIB]
