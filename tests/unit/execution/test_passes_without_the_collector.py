"""Passes of the loop are made while Python's collector rests; before and after, it works."""

import contextlib
import gc
from pathlib import Path
from typing import Any

import pytest

from reconciler.loop import look
from reconciler.pipeline import Pass, run_pass
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.store.store import open_store
from tests.timelines.appliers import SimulatedApplier
from tests.timelines.cases import make_timeline
from tests.timelines.manifests import Manifests


@pytest.mark.parametrize("breaks", [False, True])
def test_the_collector_rests_during_a_pass_and_works_again_also_after_one_that_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: bool
) -> None:
    line = make_timeline(Manifests(["center", "h1", "web-1"], []))
    at_work: list[bool] = []

    def spy(*given: Any) -> Pass:
        at_work.append(gc.isenabled())
        if breaks:
            raise RuntimeError("broken")
        return run_pass(*given)

    monkeypatch.setattr("reconciler.loop.run_pass", spy)
    with contextlib.closing(open_store(tmp_path / "store.sqlite")) as store:
        applier = SimulatedApplier("ostler", line.world, line.links, line.manifests.desired, store=store)
        with contextlib.suppress(RuntimeError):
            run_in_virtual_time(look(applier.estate()))

    assert (at_work, gc.isenabled()) == ([False], True)
