"""The scheduling policies that people read in policies/scheduling are those by which VMs are placed."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from reconciler.desired.build import build_desired
from reconciler.desired.read import read_paths
from reconciler.model import scheduling
from reconciler.model.desired import SchedulingPolicy, Setting
from reconciler.model.policies import BUILT_IN, cluster_settings
from reconciler.placement.filters import FILTERS
from reconciler.placement.weights import WEIGHTS

FOLDER = Path(__file__).parents[3] / "policies" / "scheduling"
CENTER = """apiVersion: ostler.dev/v1alpha1
kind: DataCenter
metadata: {name: farm}
spec: {uuid: 58cfb470-02f3-03d7-0386-0000000003bc}
---
"""


def written(name: str) -> SchedulingPolicy:
    """A file of policies/scheduling, read as a user's own manifest."""
    text = CENTER + (FOLDER / f"{name}.yaml").read_text()
    manifests = read_paths(["-"], BytesIO(text.encode()))
    centers, problems = build_desired(manifests.documents)
    assert not (*manifests.problems, *problems)
    (policy,) = centers["dc/farm"].scheduling_policies.values()
    return policy


def test_every_policy_has_its_file():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {one.meta.name for one in BUILT_IN.values()}


@pytest.mark.parametrize("policy", BUILT_IN.values(), ids=BUILT_IN)
def test_a_file_is_a_manifest_that_declares_the_same(policy):
    found = written(policy.meta.name)
    settings = tuple(sorted(policy.settings, key=lambda one: one.parameter))

    assert replace(found, meta=policy.meta, description=policy.description) == replace(
        policy, settings=settings
    )


def test_placement_has_a_class_for_every_unit_of_the_table():
    assert FILTERS.keys() == scheduling.FILTER_UNITS.keys()
    assert WEIGHTS.keys() == scheduling.WEIGHT_UNITS.keys()
    assert set(scheduling.MANDATORY) <= FILTERS.keys()


@pytest.mark.parametrize("table", ["FILTER_UNITS", "WEIGHT_UNITS", "BALANCE_UNITS"])
def test_units_read_parameters_that_there_are(table):
    for parameters in getattr(scheduling, table).values():
        assert set(parameters) <= scheduling.PARAMETERS.keys()


def test_what_a_cluster_sets_goes_before_what_its_policy_sets():
    policy = BUILT_IN["sched/evenly_distributed"]

    assert cluster_settings(policy, (Setting("HighUtilization", 60),)) == {
        "CpuOverCommitDurationMinutes": 2, "HighUtilization": 60, "VCpuToPhysicalCpuRatio": 0,
    }  # fmt: skip
