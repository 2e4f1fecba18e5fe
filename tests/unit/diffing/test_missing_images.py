"""Whether the image of a disk that is to be removed is gone, or could only not be seen."""

from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.wire.facts import StorageContents
from reconciler.model.plan import Plan
from reconciler.pipeline import run_pass
from tests.scenarios.events import befall
from tests.scenarios.manifests import read_desired
from tests.scenarios.stage import Stage, make_stage

IMAGE = "337c6004-6ae6-56f2-99a7-07217a8ba317"
KEPT = """apiVersion: ostler.dev/v1alpha1
kind: Disk
metadata: {name: b}
spec: {storageDomain: shared, size: 10Gi}
"""
GONE = f"""---
apiVersion: ostler.dev/v1alpha1
kind: Disk
metadata: {{name: a, annotations: {{ostler.dev/allow-destroy: "{IMAGE}"}}}}
spec: {{storageDomain: shared, size: 10Gi}}
"""


@pytest.fixture
def plan_with(tmp_path: Path):
    """The plan of a world whose disk `a` is no longer declared, as far as its storage could be read."""

    def plan(*, lost: bool, **changes: object) -> Plan:
        file = tmp_path / "desired.yaml"
        file.write_text(KEPT + GONE)
        before, problems = read_desired(("center", "h1"), file)
        assert before is not None, problems
        stage: Stage = make_stage(before)
        stage.converge(before)
        if lost:
            befall(stage, before, "lose-image disk/a")
        file.write_text(KEPT)
        desired, _ = read_desired(("center", "h1"), file)
        reports = stage.observe(desired)
        (storage,) = reports.storage
        assert isinstance(storage.contents, StorageContents)
        seen = replace(storage, contents=replace(storage.contents, **changes))
        return run_pass(desired, replace(reports, storage=(seen,))).plan

    return plan


def test_the_record_of_an_image_that_is_gone_is_removed(plan_with):
    (step,) = plan_with(lost=True).steps

    assert (step.kind, "gone already" in step.summary) == ("remove-disk", True)


@pytest.mark.parametrize(
    "changes", [{"complete": False}, {"unreadable_disks": (IMAGE,)}], ids=["domain", "image"]
)
def test_what_could_not_be_read_is_not_gone(plan_with, changes):
    plan = plan_with(lost=True, **changes)

    assert plan.steps == ()
    assert "it could not be read" in next(one.reason for one in plan.blocked if one.object == "disk/a")


def test_an_image_that_is_there_is_removed_as_ever(plan_with):
    (step,) = plan_with(lost=False).steps

    assert "restorable for 7 days" in step.summary
