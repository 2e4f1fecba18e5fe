"""The same desired state and the same answers give the same bytes: in any order, in any process, with any history."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.wire.codec import convert, decode, encode, to_plain
from reconciler.cli.dumping import ARROWS
from reconciler.model.desired import Desired
from reconciler.model.reports import Reports
from reconciler.pipeline import run_pass
from reconciler.planfile.decode import decode_plan
from reconciler.planfile.encode import encode_plan
from reconciler.planfile.text import render_text
from tests.laws.estates import build
from tests.laws.worlds import OPTIONS, History, happen, histories

ROOT = Path(__file__).parents[2]
SEEDS = ("0", "1", "4242")


def planned(desired: Desired, reports: Reports, previous=None) -> bytes:
    """The plan file and the text of one pass."""
    plan = run_pass(desired, reports, previous, OPTIONS).plan
    return encode_plan(plan) + render_text(plan).encode()


def shuffled(reports: Reports, choose: random.Random) -> Reports:
    """The same reports in another order."""
    hosts, storage, proofs = list(reports.hosts), list(reports.storage), list(reports.proofs)
    for one in (hosts, storage, proofs):
        choose.shuffle(one)
    return replace(reports, hosts=tuple(hosts), storage=tuple(storage), proofs=tuple(proofs))


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_reports_does_not_show(history: History, choose: random.Random):
    reports, desired = history.stage().observe(history.desired()), history.desired()

    assert planned(desired, shuffled(reports, choose)) == planned(desired, reports)


@given(histories())
def test_a_previous_pass_saves_work_and_changes_nothing(history: History):
    stage, before, desired = replace(history, events=()).stage(), build(history.before), history.desired()
    previous = stage.plan(before, OPTIONS)
    for event in history.events:
        happen(stage, before, event)
    reports = stage.observe(desired)

    assert planned(desired, reports, previous) == planned(desired, reports)
    assert planned(desired, reports, run_pass(desired, reports, previous, OPTIONS)) == planned(
        desired, reports
    )


@given(histories())
def test_every_value_between_manifests_and_plan_can_be_written_and_read_back(history: History):
    desired = history.desired()
    done = run_pass(desired, history.stage().observe(desired), None, OPTIONS)

    for name in ARROWS:
        value = getattr(done, name)
        assert decode(encode(value), type(value)) == value, name


@given(histories())
def test_plans_and_reports_come_back_from_their_files(history: History):
    desired = history.desired()
    reports = history.stage().observe(desired)
    plan = run_pass(desired, reports, None, OPTIONS).plan

    again = decode_plan(encode_plan(plan)).plan

    assert again == plan
    assert encode_plan(again) == encode_plan(plan)
    assert decode(encode(reports), Reports) == reports


def test_the_seed_of_hashes_does_not_show(tmp_path):
    examples: list[tuple[Desired, Reports]] = []

    @settings(database=None)
    @given(histories())
    def collect(history: History) -> None:
        desired = history.desired()
        examples.append((desired, history.stage().observe(desired)))

    collect()
    file = tmp_path / "examples.json"
    file.write_text(json.dumps([[to_plain(one), to_plain(two)] for one, two in examples]))
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.laws.test_same_input_same_bytes", str(file)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
        )
        for seed in SEEDS
    ]
    outputs = {process.communicate()[0] for process in running}

    assert all(process.returncode == 0 for process in running)
    assert outputs == {b"".join(planned(one, two) for one, two in examples)}


def main(path: str) -> None:
    """Plans every example of a file, for another process to compare."""
    for desired, reports in json.loads(Path(path).read_text()):
        sys.stdout.buffer.write(planned(convert(desired, Desired), convert(reports, Reports)))


if __name__ == "__main__":
    main(sys.argv[1])
