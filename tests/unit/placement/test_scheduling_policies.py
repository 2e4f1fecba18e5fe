"""The scheduling policies that people read in policies/scheduling are those by which VMs are placed."""

from pathlib import Path

import yaml

from reconciler.placement import policies
from reconciler.placement.filters import FILTERS
from reconciler.placement.policies import SchedulingPolicy
from reconciler.placement.weights import WEIGHTS

FILES = sorted((Path(__file__).parents[3] / "policies" / "scheduling").glob("*.yaml"))
BUILT_IN = {one.name: one for one in vars(policies).values() if isinstance(one, SchedulingPolicy)}


def as_written(policy: SchedulingPolicy) -> dict[str, object]:
    """A policy as its file has it; none of the built-in ones moves a VM that runs well."""
    return {
        "name": policy.name,
        "filters": list(policy.filters),
        "weights": dict(policy.weights),
        "balance": "None",
    }


def test_every_file_is_a_policy_that_placement_has_and_every_policy_has_its_file():
    assert {path.stem for path in FILES} == BUILT_IN.keys()
    for path in FILES:
        assert yaml.safe_load(path.read_text()) == as_written(BUILT_IN[path.stem]), path.name


def test_the_order_of_filters_and_weights_is_that_of_the_file():
    for path in FILES:
        written = yaml.safe_load(path.read_text())
        assert list(written["weights"].items()) == list(BUILT_IN[path.stem].weights)


def test_a_policy_names_units_that_there_are():
    for policy in BUILT_IN.values():
        assert set(policy.filters) <= FILTERS.keys()
        assert {name for name, _ in policy.weights} <= WEIGHTS.keys()
