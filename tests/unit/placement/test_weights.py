"""Each weight by its name: what hosts score, with the sums worked out."""

from dataclasses import replace

import numpy as np
import pytest

from reconciler.model.policies import BUILT_IN
from reconciler.placement.policies import make_policy
from reconciler.placement.selection import select_host
from reconciler.placement.table import UNKNOWN
from reconciler.placement.weights import WEIGHTS
from tests.unit.placement.test_filters import DEMAND, GIB, table


def scores(name, demand=DEMAND, values=None, **columns):
    return WEIGHTS[name](values or {}).score(demand, table(**columns)).tolist()


CASES = {
    # (80+20)/8 = 12.5 and (240+20)/8 = 32.5, rounded half to even: 12 and 32; stretched: 1 and 1000
    "cpu: the idler host": ("OptimalForCpuEvenDistribution", {"load": np.array([80, 240])}, {}, [1, 1000]),
    # 12.5 and 12 are both 12: alike is 1 for all
    "cpu: alike": ("OptimalForCpuEvenDistribution", {"load": np.array([80, 76])}, {}, [1, 1]),
    "cpu: no statistics": ("OptimalForCpuEvenDistribution", {"load": np.array([80, UNKNOWN])}, {}, [1, 1000]),
    # 12 vCPUs on 8 CPUs reach 1.5: 12 * 1000; the other host stays at 32
    "cpu: ratio": (
        "OptimalForCpuEvenDistribution",
        {"load": np.array([80, 240]), "vcpus": np.array([12, 4])},
        {"VCpuToPhysicalCpuRatio": 150},
        [1000, 1],
    ),
    # left: 3 and 1 GiB of at most 4: 1000 - round((3G-1)*999/(4G-1)) = 1000 - 749; 1000 - round(249.75) = 750
    "memory": ("OptimalForMemoryEvenDistribution", {"free": np.array([4 * GIB, 2 * GIB])}, {}, [251, 750]),
    # 12 -> -12, 32 -> -32: the busier is the lesser
    "power saving": ("OptimalForCpuPowerSaving", {"load": np.array([80, 240])}, {}, [1000, 1]),
    # 600/8 = 75 is not over 75, 608/8 = 76 is; with the VM both are at 78, alike
    "power saving: overloaded": (
        "OptimalForCpuPowerSaving",
        {"load": np.array([600, 608])},
        {"HighUtilization": 75},
        [1, 1000],
    ),
    # most = 4.4 GiB; 3/4.4*999 + 1 = 682, 1/4.4*999 + 1 = 228
    "full memory": ("OptimalForMemoryPowerSaving", {"free": np.array([4 * GIB, 2 * GIB])}, {}, [682, 228]),
    # the second would have 1 GiB left, less than 2: min(4.4, 3 + (2 - 1)) = 4 GiB: 4/4.4*999 + 1 = 909
    "full memory: too full": (
        "OptimalForMemoryPowerSaving",
        {"free": np.array([4 * GIB, 2 * GIB])},
        {"MaxFreeMemoryForOverUtilized": 2048, "MinFreeMemoryForUnderUtilized": 3072},
        [682, 909],
    ),
    "guests": ("OptimalForEvenGuestDistribution", {"guests": np.array([3, 7])}, {}, [3, 7]),
    # the SPM's five virtual VMs: 3 + 5
    "guests: SPM": ("OptimalForEvenGuestDistribution", {"guests": np.array([3, 7]), "spm": 0}, {}, [8, 7]),
}


def test_every_weight_has_a_case():
    assert {unit for unit, *_ in CASES.values()} == WEIGHTS.keys()


@pytest.mark.parametrize("name", CASES)
def test_hosts_score(name):
    unit, columns, values, expected = CASES[name]

    assert scores(unit, values=values, **columns) == expected


def test_what_a_vm_takes_is_not_added_again_where_it_runs():
    running = replace(DEMAND, current="host/h2")
    free = np.array([4 * GIB, 3 * GIB])

    # 3 GiB left on both
    assert scores("OptimalForMemoryEvenDistribution", running, free=free) == [251, 251]


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("none", 0),
        ("evenly_distributed", 0),
        ("cluster_maintenance", 0),
        ("power_saving", 1),
        ("vm_evenly_distributed", 1),
    ],
)
def test_policies_choose_differently(policy, chosen):
    """The second host is busier and fuller, by fewer and larger VMs."""
    hosts = table(load=np.array([80, 240]), free=np.array([4 * GIB, 2 * GIB]), guests=np.array([4, 2]))
    whole = BUILT_IN[f"sched/{policy}"]

    assert select_host(make_policy(whole, {}), replace(DEMAND, restarts=True), hosts) == chosen


def test_basic_weighting_takes_the_least_sum_of_scores_times_factors():
    """CPU 1 and 1000 times 2, memory 1000 - and so 1 and ...: by ranks the first host wins 2:1, by sums as well unless memory differs by more."""
    hosts = table(load=np.array([80, 81]), free=np.array([2 * GIB, 4 * GIB]))
    ranked = make_policy(BUILT_IN["sched/none"], {})

    # CPU: 12 and 13 (80+20=100/8=12.5 -> 12; 101/8=12.6 -> 13): 1 and 1000; memory 750 and 251
    assert select_host(ranked, DEMAND, hosts) == 0
    assert select_host(replace(ranked, selector="BasicWeighting"), DEMAND, hosts) == 0
    heavier = replace(
        ranked, selector="BasicWeighting", weights=(*ranked.weights[1:], (ranked.weights[0][0], 0))
    )
    assert select_host(heavier, DEMAND, hosts) == 1


@pytest.mark.parametrize("name", sorted(WEIGHTS.keys() - {"OptimalForEvenGuestDistribution"}))
def test_scores_lie_between_one_and_a_thousand(name):
    """All but that which counts VMs."""
    found = scores(name, load=np.array([0, 640]), free=np.array([2 * GIB, 8 * GIB]))

    assert min(found) >= 1
    assert max(found) <= 1000
