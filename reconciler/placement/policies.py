"""Scheduling policies made ready: units with the values of their parameters."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.model.desired import Cluster, Desired, SchedulingPolicy
from reconciler.model.policies import cluster_settings, policy_of
from reconciler.model.scheduling import MANDATORY, Selector
from reconciler.placement.filters import FILTERS, Filter
from reconciler.placement.weights import WEIGHTS, Weight


@dataclass(frozen=True, slots=True)
class Policy:
    """Filters in order, mandatory ones first; weights with the factor of each unit's opinion."""

    name: str
    filters: tuple[Filter, ...]
    weights: tuple[tuple[Weight, int], ...]
    selector: Selector = "RankSelector"


def make_policy(policy: SchedulingPolicy, settings: Mapping[str, int]) -> Policy:
    """A policy with the values of parameters by name."""
    return Policy(
        policy.meta.name,
        tuple(FILTERS[name](settings) for name in (*MANDATORY, *policy.filters)),
        tuple((WEIGHTS[one.unit](settings), one.factor) for one in policy.weights),
        policy.selector,
    )


def cluster_policy(desired: Desired, cluster: Cluster) -> Policy:
    """How VMs of a cluster are placed."""
    policy = policy_of(desired, cluster)
    return make_policy(policy, cluster_settings(policy, cluster.settings))
