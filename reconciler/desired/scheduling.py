"""Scheduling policies against the table of units: what they combine must be there, of the right type, and once.

Called by `build`.
"""

from collections.abc import Iterator, Mapping, Sequence

from reconciler.desired.estate import Estate
from reconciler.desired.findings import Fault, Finding
from reconciler.desired.paths import Path
from reconciler.desired.suggestions import Suggestions, offer
from reconciler.model.desired import Cluster, SchedulingPolicy, Setting
from reconciler.model.policies import BUILT_IN
from reconciler.model.scheduling import BALANCE_UNITS, ELSEWHERE, FILTER_UNITS, MANDATORY, WEIGHT_UNITS

TABLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "filter": FILTER_UNITS,
    "weight": WEIGHT_UNITS,
    "balance": BALANCE_UNITS,
}


def check_policies(estate: Estate, suggestions: Suggestions) -> Iterator[Fault]:
    """Faults of policies, and of parameters that clusters set."""
    for declaration, policy in estate.each(SchedulingPolicy):
        if declaration.id in BUILT_IN:
            advice = "choose another name, and name that in the clusters"
            finding = Finding(
                ("metadata", "name"), f"{declaration.id} comes with Ostler and cannot be changed", advice
            )
            yield declaration.fault(finding)
        for finding in (*_check_units(policy, suggestions), *_check_settings(policy)):
            yield declaration.fault(finding)
    for declaration, cluster in estate.each(Cluster):
        chosen = _policy_of(estate, cluster)
        if chosen is not None:
            for finding in _check_settings(chosen, cluster.settings, ("spec", "schedulingParameters")):
                yield declaration.fault(finding)


def _policy_of(estate: Estate, cluster: Cluster) -> SchedulingPolicy | None:
    name = cluster.scheduling_policy
    return BUILT_IN.get(name) or estate.find(name, SchedulingPolicy)


def _check_units(policy: SchedulingPolicy, suggestions: Suggestions) -> Iterator[Finding]:
    filters = [(name, ("spec", "filters", index)) for index, name in enumerate(policy.filters)]
    weights = [(one.unit, ("spec", "weights", index, "unit")) for index, one in enumerate(policy.weights)]
    yield from _check_names("filter", filters, suggestions)
    yield from _check_names("weight", weights, suggestions)
    yield from _check_names("balance", [(policy.balance, ("spec", "balance", "unit"))], suggestions)
    for name, path in filters:
        if name in MANDATORY:
            yield Finding(path, f"{name} is in every policy by itself", "remove it")


def _check_names(kind: str, names: Sequence[tuple[str, Path]], suggestions: Suggestions) -> Iterator[Finding]:
    seen: set[str] = set()
    for name, path in names:
        if name in seen:
            yield Finding(path, f"{kind} {name} is listed twice", "remove one of the two")
        elif name not in TABLES[kind]:
            yield Finding(path, *_explain_stranger(kind, name, suggestions))
        seen.add(name)


def _explain_stranger(kind: str, name: str, suggestions: Suggestions) -> tuple[str, str]:
    """Summary and advice for a name that is no unit of its kind."""
    if name in ELSEWHERE:
        return f"there is no {kind} {name} here: {ELSEWHERE[name]}", "remove it"
    other = next((one for one, table in TABLES.items() if name in table), None)
    if other is not None:
        return f"{name} is a {other}, no {kind}", f"known {kind}s are {', '.join(TABLES[kind])}"
    near = suggestions.near_miss(name, TABLES[kind], kind)
    return f"there is no {kind} {name}", offer(near, f"known are {', '.join(TABLES[kind])}")


def _check_settings(
    policy: SchedulingPolicy,
    settings: Sequence[Setting] | None = None,
    path: Path = ("spec", "parameters"),
) -> Iterator[Finding]:
    """A parameter that no unit of the policy reads would have no effect."""
    read = {
        *(one for name in policy.filters for one in FILTER_UNITS.get(name, ())),
        *(one for weight in policy.weights for one in WEIGHT_UNITS.get(weight.unit, ())),
        *BALANCE_UNITS.get(policy.balance, ()),
    }
    for one in policy.settings if settings is None else settings:
        if one.parameter not in read:
            known = ", ".join(sorted(read)) or "none"
            yield Finding(
                (*path, one.parameter),
                f"no unit of {policy.meta.id} reads {one.parameter}",
                f"it reads {known}",
            )
