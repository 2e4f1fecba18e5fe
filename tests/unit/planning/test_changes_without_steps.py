"""A change for which no rule has a step is a bug that must not pass for `nothing to do`."""

from dataclasses import replace

import pytest

from reconciler.model.change import Change, Reason, Verb
from reconciler.pipeline import Pass
from reconciler.planning.build import build_plan
from reconciler.planning.context import PlanningError
from tests.laws.estates import EstateSpec, HostSpec, VmSpec, build
from tests.laws.worlds import OPTIONS
from tests.scenarios.stage import make_stage

DESIRED = build(EstateSpec((HostSpec(8),), (VmSpec(0),), networks=1, domains=1))


def plan_with(*changes: Change) -> None:
    """The plan of a pass that found nothing, and of these changes."""
    stage = make_stage(DESIRED)
    done: Pass = stage.converge(DESIRED, OPTIONS)
    build_plan(
        done.desired,
        done.observed,
        done.identities,
        done.placement,
        replace(done.changes, changes=changes),
        "test",
    )


def test_a_change_that_no_rule_knows_is_refused_loudly():
    change = Change("cluster/main", Verb.RESTORE, (Reason("declared"),))

    with pytest.raises(PlanningError, match=r"no rule says how to restore cluster/main"):
        plan_with(change)


def test_a_second_change_of_the_same_object_does_not_hide_behind_the_first():
    known = Change("host/h1", Verb.ENTER_MAINTENANCE, (Reason("maintenance"),), host="host/h1")
    strange = Change("host/h1", Verb.GROW, (Reason("declared-size"),), host="host/h1")

    with pytest.raises(PlanningError, match=r"grow host/h1"):
        plan_with(known, strange)


def test_a_change_with_a_step_passes():
    plan_with(Change("host/h1", Verb.ENTER_MAINTENANCE, (Reason("maintenance"),), host="host/h1"))
