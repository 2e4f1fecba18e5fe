"""Hosts as arrays: what statistics and the cluster's way of counting CPUs make of them."""

from dataclasses import replace

import pytest

from reconciler.model.observed import Observed
from reconciler.placement.filters import FILTERS
from reconciler.placement.table import UNKNOWN, HostTable, build_table
from tests.laws.estates import EstateSpec, HostSpec, build
from tests.laws.worlds import OPTIONS
from tests.scenarios.stage import make_stage
from tests.unit.placement.test_filters import DEMAND, GIB, VALUES

DESIRED = build(EstateSpec((HostSpec(8),)))


def table_of(*, threads_count: bool = False, **statistics: object) -> HostTable:
    """One host of 8 cores and 16 threads with these statistics."""
    observed = make_stage(DESIRED).plan(DESIRED, OPTIONS).observed
    seen = observed.hosts["host/h1"]
    assert seen.state is not None
    assert seen.statistics is not None
    smt = replace(seen.state, capabilities=replace(seen.state.capabilities, cores=8, threads=16))
    told = replace(seen, state=smt, statistics=replace(seen.statistics, **statistics))
    cluster = replace(DESIRED.clusters["cluster/main"], count_threads_as_cores=threads_count)
    return build_table(
        DESIRED,
        Observed("dc/farm", {"host/h1": told}, data_center_uuid=observed.data_center_uuid),
        cluster,
        {},
    )


@pytest.mark.parametrize("threads_count", [False, True])
def test_a_busy_host_is_busy_however_its_cpus_are_counted(threads_count):
    table = table_of(threads_count=threads_count, cpu_percent=(95, 95))
    unit = FILTERS["CPUOverloaded"](VALUES)

    assert unit.keep(DEMAND, table).tolist() == [False]
    assert unit.reason(DEMAND, table, 0) == "CPU too loaded: 95 %, more than 80 % for 2 min"


@pytest.mark.parametrize("means", [(95, 20), (20, 95), (95,), ()])
def test_one_busy_minute_empties_no_list_of_candidates(means):
    assert FILTERS["CPUOverloaded"](VALUES).keep(DEMAND, table_of(cpu_percent=means)).tolist() == [True]


@pytest.mark.parametrize(
    ("means", "load", "lasting"),
    [((95, 90, 10), 760, 90), ((95,), 760, 0), ((), UNKNOWN, 0)],
)
def test_load_is_of_the_newest_minute_and_lasts_if_the_one_before_had_it(means, load, lasting):
    table = table_of(cpu_percent=means)

    assert (table.load.tolist(), table.lasting_percent(2).tolist()) == ([load], [lasting])


def test_free_memory_and_swap_are_those_of_the_newest_minute():
    table = table_of(memory_free_bytes=(GIB, 9), swap_total_bytes=GIB, swap_free_bytes=(GIB // 2, 9))

    assert (table.physical.tolist(), table.swap_free.tolist()) == ([GIB], [GIB // 2])
