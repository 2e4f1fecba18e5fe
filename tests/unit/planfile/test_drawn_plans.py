"""The graph of a plan as people see it: every text within its box, whole in its tooltip."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise

import pytest

from reconciler.model.change import Disruption
from reconciler.planfile.drawing import CHARACTER, draw_graph
from tests.unit.planfile.test_plan_files import CLOSE, STEP

SVG = "{http://www.w3.org/2000/svg}"
LONG = "vm/customer-portal-production-europe-west-1-frontend-cache-node-7#migrate"
HOST = "host/rack-12-chassis-4-blade-07.compute.europe-west-1.example.org"


def boxes(*steps):
    """Rectangle and texts of each box, left to right."""
    drawn = ET.fromstring(draw_graph(steps))
    found = [
        (group.find(f"{SVG}rect"), group.findall(f"{SVG}text"), group) for group in drawn.iter(f"{SVG}g")
    ]
    return sorted(found, key=lambda one: int(one[0].get("x")))


@pytest.mark.parametrize("name", ["vm/a#start", STEP.id, "vm/a-name-of-so-many-letters#migrate", LONG])
@pytest.mark.parametrize("host", ["host/h1", HOST])
@pytest.mark.parametrize("felt", [Disruption.NONE, Disruption.LIVE_MIGRATE])
def test_no_text_leaves_its_box(name, host, felt):
    for rectangle, texts, _ in boxes(replace(STEP, id=name, host=host, disruption=felt), CLOSE):
        right = int(rectangle.get("x")) + int(rectangle.get("width"))
        assert all(int(text.get("x")) + len(text.text) * CHARACTER <= right for text in texts)


def test_what_is_shortened_keeps_its_end_and_is_whole_in_the_tooltip():
    ((_, (first, second), group),) = boxes(replace(STEP, id=LONG, host=HOST))

    assert first.text.startswith("vm/customer-portal")
    assert first.text.endswith("node-7#migrate")
    assert second.text.endswith("example.org · live-migrate")
    title = group.find(f"{SVG}title").text
    assert LONG in title
    assert HOST in title


def test_columns_stand_beside_each_other():
    steps = (replace(STEP, id=LONG), replace(CLOSE, after=(replace(CLOSE.after[0], step=LONG),)))

    for (left, _, _), (right, _, _) in pairwise(boxes(*steps)):
        assert int(left.get("x")) + int(left.get("width")) < int(right.get("x"))
