"""A VM's record names a disk from before a guest can write it until it is proven that none does any more."""

from pathlib import Path

import pytest

from reconciler.model.desired import Desired
from reconciler.model.plan import Plan
from tests.scenarios.events import befall, master
from tests.scenarios.manifests import read_desired
from tests.scenarios.stage import Stage, carry_out, carry_out_step, make_stage

DISK = """---
apiVersion: ostler.dev/v1alpha1
kind: Disk
metadata: {name: extra}
spec: {storageDomain: shared, size: 10Gi}
"""
VM = """---
apiVersion: ostler.dev/v1alpha1
kind: VirtualMachine
metadata: {name: web-1}
spec:
  cluster: main
  memory: 1Gi
"""
NIC, SECOND_NIC = "{name: eth0, network: vms}", "{name: eth1, network: vms}"
ROOT, EXTRA, SATA = "{disk: web-1-root}", "{disk: extra}", "{disk: extra, bus: sata}"
BOTH = ("disk/web-1-root", "disk/extra")


class Story:
    """One VM with changing manifests in a simulated world."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "desired.yaml"
        self.stage: Stage | None = None
        self.desired: Desired | None = None

    def declare(self, *disks: str, nics: tuple[str, ...] = (NIC,), **spec: str) -> None:
        more = "".join(f"  {key}: {value}\n" for key, value in spec.items())
        lists = f"  disks: [{', '.join(disks)}]\n  nics: [{', '.join(nics)}]\n"
        self.file.write_text(DISK + VM + more + lists)
        self.desired, problems = read_desired(("center", "h1", "web-1"), self.file)
        assert self.desired is not None, problems
        self.stage = self.stage or make_stage(self.desired)

    def plan(self) -> Plan:
        assert self.stage is not None
        assert self.desired is not None
        return self.stage.plan(self.desired).plan

    def converge(self) -> None:
        self.stage.converge(self.desired)

    def befall(self, event: str) -> None:
        befall(self.stage, self.desired, event)

    def carry_out(self, plan: Plan, *verbs: str) -> None:
        """The steps of a plan with these verbs, and no others."""
        for step in plan.steps:
            if step.id.partition("#")[2] in verbs:
                carry_out_step(self.stage.world, step)

    def recorded(self) -> tuple[str, ...]:
        (record,) = master(self.stage).vms.values()
        return record.disks


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def verbs(plan: Plan) -> list[str]:
    return [step.id.partition("#")[2] for step in plan.steps]


def test_a_disk_leaves_the_record_only_after_it_left_the_guest(story):
    story.declare(ROOT, EXTRA)
    story.converge()
    story.declare(ROOT)
    plan = story.plan()
    assert verbs(plan) == ["update-record", "detach-extra", "let-go"]

    story.carry_out(plan, "update-record")
    assert story.recorded() == BOTH
    story.carry_out(plan, "detach-extra")
    assert story.recorded() == BOTH
    story.carry_out(plan, "let-go")
    assert story.recorded() == BOTH[:1]
    assert story.plan().steps == ()


def test_a_disk_that_could_not_be_unplugged_stays_in_the_record(story):
    story.declare(ROOT, EXTRA)
    story.converge()
    story.declare(ROOT)
    story.carry_out(story.plan(), "update-record")

    again = story.plan()
    assert verbs(again) == ["detach-extra", "let-go"]
    assert story.recorded() == BOTH
    carry_out(story.stage.world, again)
    assert story.recorded() == BOTH[:1]


def test_a_disk_that_was_unplugged_before_a_crash_leaves_the_record_with_the_next_plan(story):
    story.declare(ROOT, EXTRA)
    story.converge()
    story.declare(ROOT)
    story.carry_out(story.plan(), "update-record", "detach-extra")

    again = story.plan()
    assert verbs(again) == ["update-record"]
    assert "no guest has the disk any more" in again.steps[0].summary
    carry_out(story.stage.world, again)
    assert story.recorded() == BOTH[:1]


def test_a_disk_is_in_the_record_before_it_is_plugged(story):
    story.declare(ROOT)
    story.converge()
    story.declare(ROOT, EXTRA)
    plan = story.plan()

    (attach,) = (step for step in plan.steps if step.kind == "attach-disk")
    assert "vm/web-1#update-record" in [edge.step for edge in attach.after]
    story.carry_out(plan, "update-record")
    assert story.recorded() == BOTH


def test_a_disk_that_goes_with_the_next_start_stays_in_the_record_until_then(story):
    story.declare(ROOT, SATA)
    story.converge()
    story.declare(ROOT)
    story.converge()
    assert story.recorded() == BOTH

    story.befall("shut-down vm/web-1")
    story.converge()
    assert story.recorded() == BOTH[:1]


def test_a_restart_without_the_disk_takes_it_out_of_the_record(story):
    story.declare(ROOT, SATA)
    story.converge()
    story.declare(ROOT, restartPolicy="WhenNeeded")
    plan = story.plan()
    assert verbs(plan) == ["update-record", "restart"]

    story.carry_out(plan, "update-record")
    assert story.recorded() == BOTH
    story.carry_out(plan, "restart")
    assert story.recorded() == BOTH[:1]
    assert story.plan().steps == ()


def test_a_stopped_vm_lets_go_when_it_has_stopped(story):
    story.declare(ROOT, EXTRA)
    story.converge()
    story.declare(ROOT, runPolicy="Stopped")
    plan = story.plan()

    story.carry_out(plan, "update-record")
    assert story.recorded() == BOTH
    story.carry_out(plan, "stop")
    assert story.recorded() == BOTH[:1]
    assert story.plan().steps == ()


def test_all_that_writes_a_record_in_one_plan_does_so_in_turn(story):
    story.declare(ROOT, EXTRA)
    story.converge()
    story.befall("wish vm/web-1 pause")
    story.declare(ROOT, nics=(NIC, SECOND_NIC))
    plan = story.plan()
    assert verbs(plan) == ["update-record", "detach-extra", "let-go", "pause", "end-intent", "attach-eth1"]

    carry_out(story.stage.world, plan)
    assert story.plan().steps == ()
    (record,) = master(story.stage).vms.values()
    assert set(record.pci) == {"eth0", "eth1"}
    assert record.disks == BOTH[:1]
