"""Scheduling policies that people write: what is wrong with them is told at its place, all at once."""

import pytest

POLICY = """dataCenter: farm
filters: [CPU, Memory]
weights: [{unit: OptimalForCpuEvenDistribution, factor: 2}]
parameters: {VCpuToPhysicalCpuRatio: 1.5}
"""


def test_a_good_policy_has_no_problems(load_farm, thing):
    loaded = load_farm(thing("SchedulingPolicy", "mine", POLICY))

    assert not loaded.problems
    (policy,) = loaded.farm.scheduling_policies.values()
    assert [(one.parameter, one.value) for one in policy.settings] == [("VCpuToPhysicalCpuRatio", 150)]


@pytest.mark.parametrize(
    ("old", "new", "field", "summary", "detail"),
    [
        ("CPU, Memory", "CPU, Memroy", "spec.filters[1]", "there is no filter Memroy", "did you mean Memory?"),
        ("CPU, Memory", "CPU, CPU", "spec.filters[1]", "filter CPU is listed twice", "remove one of the two"),
        (
            "CPU, Memory",
            "CPU, OptimalForEvenGuestDistribution",
            "spec.filters[1]",
            "OptimalForEvenGuestDistribution is a weight, no filter",
            "known filters are",
        ),
        ("CPU, Memory", "CPU, HA", "spec.filters[1]", "there is no filter HA here: it places the hosted engine", "remove it"),
        ("CPU, Memory", "PinToHost", "spec.filters[0]", "PinToHost is in every policy by itself", "remove it"),
        (
            "weights: [",
            "weights: [{unit: CPU}, ",
            "spec.weights[0].unit",
            "CPU is a filter, no weight",
            "known weights are",
        ),
        ("factor: 2", "factor: -1", "spec.weights[0].factor", "-1 is too small", "write 0 to 1000"),
        ("1.5", "3.5", "spec.parameters.VCpuToPhysicalCpuRatio", "3.5 is not between 0 and 2.99", "write such as 0.75"),
        ("1.5", "0.755", "spec.parameters.VCpuToPhysicalCpuRatio", "0.755 has more than two decimals", "0.75"),
        (
            "VCpuToPhysicalCpuRatio: 1.5",
            "HighUtilization: 49",
            "spec.parameters.HighUtilization",
            "49 is too small",
            "write 50 to 99",
        ),
        (
            "VCpuToPhysicalCpuRatio: 1.5",
            "HighVmCount: 10",
            "spec.parameters.HighVmCount",
            "no unit of sched/mine reads HighVmCount",
            "it reads VCpuToPhysicalCpuRatio",
        ),
        (
            "VCpuToPhysicalCpuRatio",
            "VCpuToPhysicalCpuRatoi",
            "spec.parameters.VCpuToPhysicalCpuRatoi",
            "unknown field",
            "did you mean VCpuToPhysicalCpuRatio?",
        ),
        (
            "filters:",
            "balance: {unit: OptimalForCpuPowerSaving}\nfilters:",
            "spec.balance.unit",
            "OptimalForCpuPowerSaving is a weight, no balance",
            "known balances are None",
        ),
        ("filters:", "balance: [None, None]\nfilters:", "spec.balance", "", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_what_to_do(load_farm, thing, old, new, field, summary, detail):
    loaded = load_farm(thing("SchedulingPolicy", "mine", POLICY.replace(old, new)))

    found = [(one.field, one.summary, one.detail) for one in loaded.problems]
    assert bool(found) == bool(field)
    for place, what, advice in found:
        assert place == field
        assert summary in what
        assert detail in advice


def test_policies_that_come_with_ostler_cannot_be_declared(load_farm, thing):
    loaded = load_farm(thing("SchedulingPolicy", "none", POLICY))

    assert loaded.summaries == ["sched/none comes with Ostler and cannot be changed"]


CLUSTER = "dataCenter: farm\n"


@pytest.mark.parametrize(
    "name", ["none", "evenly_distributed", "power_saving", "cluster_maintenance", "mine"]
)
def test_clusters_name_policies_of_either_kind(load_farm, thing, name):
    policy = thing("SchedulingPolicy", "mine", POLICY)

    assert not load_farm(policy, thing("Cluster", "other", f"{CLUSTER}schedulingPolicy: {name}")).problems


def test_a_cluster_with_a_policy_that_is_not_there(load_farm, thing):
    policy = thing("SchedulingPolicy", "mine", POLICY)
    loaded = load_farm(policy, thing("Cluster", "other", f"{CLUSTER}schedulingPolicy: minne"))

    assert loaded.summaries == ["there is no SchedulingPolicy minne"]
    assert "did you mean mine?" in loaded.problems[0].detail


def test_a_cluster_sets_only_parameters_that_its_policy_reads(load_farm, thing):
    spec = f"{CLUSTER}schedulingPolicy: power_saving\nschedulingParameters: {{LowUtilization: 30, HighVmCount: 5}}"
    loaded = load_farm(thing("Cluster", "other", spec))

    assert [one.field for one in loaded.problems] == ["spec.schedulingParameters.HighVmCount"]
