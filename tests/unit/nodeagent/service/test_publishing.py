import threading
import time
from dataclasses import replace

import pytest
from enginebench import BOOT, HOST

from nodeagent.facts.publishing import STALE_MS, Generations, Publisher
from nodeagent.ledger import Ledger
from nodeagent.wire.facts import HostCapabilities, HostState, LeaseFacts

START = "aaaaaaaa-0000-4000-8000-000000000001"


class Scene:
    """What the collector finds, a gate that holds it up, and a clock."""

    def __init__(self, directory):
        self.ledger = Ledger(directory, BOOT)
        self.now = 0
        self.state = HostState(
            HOST,
            BOOT,
            START,
            "1",
            0,
            0,
            0,
            self.ledger.id,
            LeaseFacts(0),
            HostCapabilities(1 << 30, 1, 1, 1, False),
        )
        self.error = None
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Semaphore(0)
        self.publisher = Publisher(self.collect, Generations(self.ledger), lambda: self.now)
        self.publisher.start()

    def collect(self):
        found, error = self.state, self.error
        self.begun.release()
        self.gate.wait(20)
        self.now += 1
        if error is not None:
            raise error
        return replace(found, boottime_ms=self.now)

    def refresh(self):
        assert self.publisher.refresh(10)
        return self.publisher.state()


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.gate.set()
    scene.publisher.stop()


def test_clocks_alone_make_no_new_generation(scene):
    first = scene.refresh()
    scene.state = replace(scene.state, lease=LeaseFacts(0, "", 17))

    assert scene.refresh().generation == first.generation


def test_a_change_of_content_makes_a_new_generation(scene):
    first = scene.refresh()
    scene.state = replace(scene.state, maintenance=True)

    assert scene.refresh().generation == first.generation + 1


def test_a_promised_generation_is_that_of_the_next_collection(scene):
    scene.refresh()
    promised = scene.publisher.promise()

    assert scene.publisher.catch_up(10)
    assert scene.publisher.state().generation == promised


def test_a_collection_under_way_never_keeps_a_promise_made_after_it_began(scene):
    scene.refresh()
    while scene.begun.acquire(blocking=False):
        pass
    scene.gate.clear()
    scene.publisher.poke()
    waiting = threading.Thread(target=scene.publisher.refresh, args=(10,))
    waiting.start()
    assert scene.begun.acquire(timeout=10)
    scene.state = replace(scene.state, maintenance=True)
    promised = scene.publisher.promise()
    scene.gate.set()
    waiting.join(10)
    assert scene.publisher.catch_up(10)

    state = scene.publisher.state()
    assert state.maintenance
    assert state.generation >= promised


def test_generations_go_on_after_a_restart(scene):
    before = scene.refresh().generation

    assert Generations(scene.ledger).first > before


def test_facts_that_cannot_be_collected_prove_nothing_until_they_can(scene):
    first = scene.refresh()
    scene.error = ZeroDivisionError()
    assert not scene.publisher.refresh(10)
    broken = scene.publisher.state()
    assert not broken.guests_complete
    assert broken.generation == first.generation + 1
    scene.error = None

    assert scene.refresh().guests_complete


def test_facts_that_have_grown_old_prove_nothing(scene):
    scene.refresh()
    scene.gate.clear()
    scene.now += STALE_MS + 10_000

    assert not scene.publisher.state().guests_complete


def test_whoever_waits_for_a_change_is_woken(scene):
    generation = scene.refresh().generation
    scene.state = replace(scene.state, maintenance=True)
    scene.publisher.poke()
    scene.now += 10_000

    assert scene.publisher.wait_beyond(generation, 10) == generation + 1


def test_a_collection_is_followed_by_a_rest_as_long_as_it_took(scene, monkeypatch):
    collect, began, real, passed = scene.publisher._collect, [], time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])

    def slowly():
        began.append(time.monotonic())
        passed[0] += 0.1
        return collect()

    scene.refresh()
    scene.publisher._collect = slowly
    scene.refresh()
    scene.refresh()

    assert began[1] - began[0] >= 0.2
