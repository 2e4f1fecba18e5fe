"""A VM whose CD image is not in its storage domain: said before anything is tried, as far as hosts tell."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.plan import Plan
from reconciler.pipeline import run_pass
from tests.scenarios.manifests import read_desired
from tests.scenarios.stage import make_stage

VM = """apiVersion: ostler.dev/v1alpha1
kind: VirtualMachine
metadata: {{name: a}}
spec: {{cluster: main, memory: 512Mi, cdrom: {cdrom}}}
"""
IMAGES = "images/11111111-1111-1111-1111-111111111111"


@pytest.fixture
def plan_of(tmp_path: Path):
    """The plan for a VM with this CD where the domain holds `isos`; running: it runs already, with an empty drive, and
    its host `closes`."""

    def plan(
        cdrom: str, isos: tuple[str, ...] | None, *, running: bool = False, closes: str | None = None
    ) -> Plan:
        file = tmp_path / "desired.yaml"
        bases = ("center", "h1") if closes is None else ("center", "h1", "h2")
        file.write_text(VM.format(cdrom="{}") if running else "")
        before, problems = read_desired(bases, file)
        assert before is not None, problems
        stage = make_stage(before)
        stage.converge(before)
        file.write_text(VM.format(cdrom=cdrom))
        desired, problems = read_desired(bases, file)
        assert desired is not None, problems
        if closes is not None:
            hosts = {**desired.hosts, closes: replace(desired.hosts[closes], maintenance=True)}
            desired = replace(desired, hosts=hosts)
        reports = stage.observe(desired)
        (storage,) = reports.storage
        assert storage.contents is not None
        seen = replace(storage, contents=replace(storage.contents, isos=isos))
        return run_pass(desired, replace(reports, storage=(seen,))).plan

    return plan


@pytest.mark.parametrize("running", [False, True], ids=["start", "change"])
def test_a_cd_that_is_not_there_blocks_with_what_to_do(plan_of, running: bool):
    plan = plan_of("{storageDomain: shared, file: debian.iso}", ("other.iso",), running=running)

    (blocked,) = plan.blocked
    assert (blocked.object, blocked.reason) == ("vm/a", "its CD debian.iso is not in sd/shared")
    assert "copy it into " in blocked.action and IMAGES in blocked.action
    assert not {step.kind for step in plan.steps} & {"start-vm", "change-cdrom"}


@pytest.mark.parametrize("isos", [("debian.iso",), None], ids=["there", "an agent that does not tell"])
@pytest.mark.parametrize("running", [False, True], ids=["start", "change"])
def test_otherwise_the_step_is_planned(plan_of, running: bool, isos: tuple[str, ...] | None):
    plan = plan_of("{storageDomain: shared, file: debian.iso}", isos, running=running)

    assert not plan.blocked
    assert {step.kind for step in plan.steps} & {"start-vm", "change-cdrom"}


def test_a_guest_leaves_its_host_with_the_cd_that_it_has(plan_of):
    plans = [plan_of("{storageDomain: shared, file: debian.iso}", (), running=True, closes=one)
             for one in ("host/h1", "host/h2")]  # fmt: skip

    assert any("migrate-vm" in {step.kind for step in plan.steps} for plan in plans)
    assert all(plan.blocked for plan in plans)
