"""Plan files: the same plan has the same digest, any change another; what is no plan, or was altered, is refused."""

import json
from dataclasses import replace

import jsonschema
import pytest

from reconciler.model.change import Alert, Blocked, Deferred, Disruption, Drift, Effect, FieldChange, Reason
from reconciler.model.placement import Homeless, Shortfall
from reconciler.model.plan import Basis, Edge, Plan, Step
from reconciler.planfile.canonical import plan_digest, plan_id
from reconciler.planfile.decode import PlanFileError, decode_plan, plan_schema
from reconciler.planfile.encode import encode_plan
from reconciler.planfile.markdown import render_markdown
from reconciler.planfile.page import render_page
from reconciler.planfile.text import headline, render_text
from reconciler.planfile.unmet import unmet_lines

STEP = Step(
    "vm/web-1#migrate",
    "migrate-vm",
    "vm/web-1",
    "host/h1",
    "migrate host/h1 → host/h2",
    {"vm": "1", "run": 2},
    (Reason("host-in-maintenance"),),
    disruption=Disruption.LIVE_MIGRATE,
)
CLOSE = Step(
    "host/h1#enter-maintenance",
    "set-maintenance",
    "host/h1",
    "host/h1",
    "close the host",
    {"maintenance": True},
    (Reason("maintenance", "spec.maintenance"),),
    after=(Edge(STEP.id, "drain-before-maintenance"),),
)
PLAN = Plan(
    "0.1.0",
    "dc/farm",
    "58cfb470-02f3-03d7-0386-0000000003bc",
    Basis({"vm/web-1": "d1"}, {"vm/web-1": "k1"}),
    (STEP, CLOSE),
    (Blocked("vm/db-1", "it is stuck", "push"),),
    (Deferred("vm/web-2", "it differs", "its next start"),),
    (Drift("vm/web-3", "memory is 1Gi", "somebody"),),
    limits={"migrations-per-host": {"host/h1": 2}},
)

CHANGES = {
    "planner": {"planner": "0.2.0"},
    "data center": {"data_center_uuid": "58cfb470-02f3-03d7-0386-0000000003bd"},
    "basis": {"basis": Basis({"vm/web-1": "d2"}, {"vm/web-1": "k1"})},
    "last order": {"basis": Basis({"vm/web-1": "d1"}, {"vm/web-1": "k2"})},
    "argument": {"steps": (replace(STEP, args={"vm": "1", "run": 3}), CLOSE)},
    "order of steps": {"steps": (CLOSE, STEP)},
    "edge": {"steps": (STEP, replace(CLOSE, after=()))},
    "blocked": {"blocked": ()},
    "deferred": {"deferred": ()},
    "drift": {"drift": ()},
    "alert": {"alerts": (Alert("sd/shared", "it is nearly full", "extend it"),)},
    "problem": {"problems": ("these steps wait for each other",)},
    "limit": {"limits": {"migrations-per-host": {"host/h1": 3}}},
}


def test_every_form_of_a_plan_names_the_fields_that_wait_or_are_in_the_way():
    memory = FieldChange("vm.memory", 1 << 30, 2 << 30, Effect.NEXT_START)
    plan = replace(
        PLAN,
        blocked=(Blocked("vm/db-1", "it cannot grow", "make room", (memory,)),),
        deferred=(Deferred("vm/web-2", "it differs", "its next start", (memory,)),),
    )

    for rendered in (render_text(plan), render_page(plan), render_markdown(plan)):
        assert rendered.count(f"({memory})") == 2


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_changes_in_a_plan_changes_its_digest(name):
    assert plan_digest(replace(PLAN, **CHANGES[name])) != plan_digest(PLAN)


def test_an_alert_stands_in_every_form_of_a_plan_and_is_nothing_to_do():
    plan = Plan(
        "0.1.0", "dc/farm", "58cfb470", alerts=(Alert("sd/shared", "it is nearly full", "extend it"),)
    )

    assert headline(plan) == "dc/farm: nothing to do, 1 alert"
    assert "alerts:\n  sd/shared: it is nearly full; extend it\n" in render_text(plan)
    assert "`sd/shared`: it is nearly full → extend it" in render_markdown(plan)
    assert "<li>sd/shared: it is nearly full; extend it</li>" in render_page(plan)


def test_commands_in_advice_are_code_in_a_pull_request_comment_and_nothing_else_is_markup():
    alert = Alert("vm/a", "the path /srv/`x* is full", "say `ostler vm resume vm/a_b`, then *look*")
    lines = render_markdown(Plan("0.1.0", "dc/farm", "58cfb470", alerts=(alert,))).splitlines()

    (line,) = [one for one in lines if one.startswith("- ")]
    assert line == r"- `vm/a`: the path /srv/\`x\* is full → say `ostler vm resume vm/a_b`, then \*look\*"


def test_unmet_requirements_stand_in_every_form_and_not_in_the_digest():
    short = Shortfall("cluster/main", "host/h1", (Homeless("vm/a", (("Memory", 2),)), Homeless("vm/b")))
    line = "n+1: if cluster/main loses host/h1, 2 of its VMs find no place: vm/a (Memory drops 2 hosts), vm/b (no other host is up)"
    lines = unmet_lines([short])

    assert lines == [line]
    assert render_text(PLAN, lines).endswith(f"requirements not met:\n  {line}\n")
    assert "find no place: vm/a" in render_markdown(PLAN, lines)
    assert f"<li>{line}</li>" in render_page(PLAN, lines)
    document = encode_plan(PLAN, unmet=[short])
    assert json.loads(document)["unmet"][0]["vms"][0] == {"vm": "vm/a", "dropped": {"Memory": 2}}
    jsonschema.validate(json.loads(document), plan_schema())
    assert decode_plan(document).digest == plan_digest(PLAN)


def test_the_order_of_keys_changes_nothing():
    other = replace(STEP, args={"run": 2, "vm": "1"})

    assert plan_digest(replace(PLAN, steps=(other, CLOSE))) == plan_digest(PLAN)


def test_a_plan_comes_back_from_its_file():
    file = decode_plan(encode_plan(PLAN, ["/srv/manifests"]))

    assert file.plan == PLAN
    assert file.digest == plan_digest(PLAN)
    assert file.sources == ("/srv/manifests",)
    assert json.loads(encode_plan(PLAN))["planId"] == plan_id(file.digest)


def test_where_manifests_lay_is_not_in_the_digest():
    assert decode_plan(encode_plan(PLAN, ["/a"])).digest == decode_plan(encode_plan(PLAN)).digest


def edited(**fields) -> bytes:
    """The plan's file with some fields of its body replaced."""
    document = json.loads(encode_plan(PLAN))
    document["plan"] |= fields
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"", "not a plan file"),
        (b"{", "not a plan file"),
        (b"\xff\xfe", "not a plan file"),
        (b"[" * 100_000, "not a plan file"),
        (b"[]", "it has no plan with a format"),
        (b'{"plan": 1}', "it has no plan with a format"),
        (edited(format={"major": 99, "minor": 0}), "format 99, this ostler reads format 1"),
        (edited(planner="0.2.0"), "was altered"),
        (edited(colour="red"), "colour"),
        (edited(steps="none"), "steps"),
        (edited(data_center=None), "data_center"),
    ],
)
def test_what_is_no_plan_or_was_altered_is_refused_in_words(document, text):
    with pytest.raises(PlanFileError, match=text):
        decode_plan(document)


def test_every_fault_of_an_edited_file_is_told_at_once():
    with pytest.raises(PlanFileError) as told:
        decode_plan(edited(planner=1, data_center=2))

    assert "plan.planner" in str(told.value)
    assert "plan.data_center" in str(told.value)


def test_the_schema_describes_what_is_written():
    jsonschema.Draft202012Validator(plan_schema()).validate(json.loads(encode_plan(PLAN)))


def test_the_text_has_a_line_for_each_thing_in_order():
    assert render_text(PLAN).splitlines() == [
        "dc/farm: 2 steps (1 live-migrate), 1 blocked, 1 deferred",
        "drift:",
        "  vm/web-3: memory is 1Gi; somebody",
        "steps:",
        "  vm/web-1#migrate on host/h1: migrate host/h1 → host/h2 [live-migrate]; because host-in-maintenance",
        "  host/h1#enter-maintenance on host/h1: close the host; because maintenance spec.maintenance; "
        "after vm/web-1#migrate (drain-before-maintenance)",
        "blocked:",
        "  vm/db-1: it is stuck; push",
        "deferred:",
        "  vm/web-2: it differs; until its next start",
    ]


def test_a_plan_without_anything_says_so():
    assert headline(Plan("0.1.0", "dc/farm", "")) == "dc/farm: nothing to do"
