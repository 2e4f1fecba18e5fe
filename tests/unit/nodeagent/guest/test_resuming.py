"""A guest that stands still because its storage was full goes on by itself once there is space, and only then."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from nodeagent.drivers.libvirt_errors import GuestNotFoundError
from nodeagent.facts.guests import Guests
from nodeagent.formats.vmrecords import write_vm_record
from nodeagent.resuming import ENOUGH_BYTES, LONGEST_WAIT_S, Resuming, may_go_on, wait_s
from nodeagent.strays import Strays
from nodeagent.wire.arguments import StartVm
from nodeagent.wire.facts import GuestFacts, StorageDomainFacts
from nodeagent.wire.records import Intent, Run, RunHost
from tests.unit.nodeagent.guest.conftest import BOOT, HOST, Bench
from tests.unit.nodeagent.guest.samples import MASTER, OTHER_DOMAIN, VM, disk, guest

ELSEWHERE = "aaaaaaaa-0000-4000-8000-000000000002"
SECOND = "5f0c1c9e-65a4-5c1c-9b7c-0d2a54c1b6a2"


@dataclass
class Scene:
    """A host whose guest halted for want of space, and what its storage has free."""

    bench: Bench
    free: dict[str, int] = field(default_factory=lambda: {MASTER: 2**40})
    now_s: float = 1000.0
    state: str = "active"

    def __post_init__(self) -> None:
        self.guests = Guests(self.bench.hypervisor, self.bench.host.exits)
        self.resuming = Resuming(self.bench.host, self.storage, lambda: self.now_s)

    def storage(self) -> list[StorageDomainFacts]:
        return [
            StorageDomainFacts(uuid, self.state, True, 5, 2**41, free) for uuid, free in self.free.items()
        ]

    def halt(self, vm: str = VM, reason: str = "io-error") -> None:
        domain = self.bench.hypervisor.domains[vm]
        domain.state, domain.pause_reason = "paused", reason

    def look(self, passed_s: float = 10.0) -> str:
        """What the guest does after one more look, some seconds later."""
        self.now_s += passed_s
        self.resuming.look(self.guests.collect().guests, self.bench.host.storage.place(MASTER))
        return self.bench.hypervisor.domains[VM].state

    def record(self, **fields) -> None:
        before = self.bench.record(VM)
        place = self.bench.host.storage.place(MASTER)
        write_vm_record(place, None, replace(before, revision=before.revision + 1, **fields))


@pytest.fixture
def scene(bench: Bench) -> Scene:
    start(bench, guest(disks=(disk(1),)))
    made = Scene(bench)
    made.halt()
    return made


def start(bench: Bench, config) -> None:
    for one in config.disks:
        image = bench.host.storage.place(MASTER) / "images" / one.image
        image.mkdir(parents=True, exist_ok=True)
        (image / one.volume).touch()
    bench.define(config)
    bench.run(StartVm(MASTER, config))


def test_it_goes_on_once_there_is_space(scene: Scene):
    scene.free[MASTER] = ENOUGH_BYTES - 1
    assert scene.look() == "paused"

    scene.free[MASTER] = ENOUGH_BYTES

    assert scene.look() == "running"


def test_the_agent_looks_by_itself(scene: Scene):
    Strays(scene.bench.host, scene.guests).look(lambda: None)

    assert scene.bench.hypervisor.domains[VM].state == "running"


@pytest.mark.parametrize("reason", ["user", "watchdog", "crashed", "postcopy-failed", "migration"])
def test_whoever_was_paused_for_another_reason_stays_so(scene: Scene, reason: str):
    scene.halt(reason=reason)

    assert scene.look() == "paused"


def test_space_that_nobody_can_see_is_none(scene: Scene):
    scene.state = "unreachable"

    assert scene.look() == "paused"


def test_every_domain_that_it_writes_must_have_space(bench: Bench):
    config = guest(disks=(disk(1), disk(2, storage_domain=OTHER_DOMAIN)))
    scene = Scene(bench)
    facts = GuestFacts(VM, "web-1", "paused", True, config, pause_reason="io-error")
    start(bench, guest(disks=(disk(1),)))
    scene.halt()

    scene.resuming.look([facts], bench.host.storage.place(MASTER))

    assert bench.hypervisor.domains[VM].state == "paused"


def test_a_person_who_wants_it_paused_is_obeyed(scene: Scene):
    wish = Intent("eeeeeeee-0000-4000-8000-000000000001", "pause", run=1)
    scene.record(intents=(wish,))
    assert scene.look() == "paused"

    scene.record(intents=(replace(wish, done=True),))

    assert scene.look() == "running"


@pytest.mark.parametrize(
    "run",
    [
        Run(2, (RunHost(ELSEWHERE, BOOT),)),
        Run(1, (RunHost(HOST, BOOT), RunHost(ELSEWHERE, BOOT))),
        Run(1, (RunHost(HOST, BOOT),), closed="host-lost"),
        None,
    ],
)
def test_a_guest_that_may_have_a_second_life_is_left_alone(scene: Scene, run: Run | None):
    (seen,) = scene.guests.collect().guests
    kept = scene.bench.record(VM)
    assert may_go_on(seen, kept, HOST)

    assert not may_go_on(seen, replace(kept, run=run), HOST)


def test_without_its_record_it_is_left_alone(scene: Scene):
    scene.resuming.look(scene.guests.collect().guests, None)

    assert scene.bench.hypervisor.domains[VM].state == "paused"


def test_one_that_halts_again_at_once_is_tried_ever_more_rarely(scene: Scene):
    tried_at = []
    for _ in range(400):
        if scene.look(10.0) == "running":
            tried_at.append(scene.now_s)
            scene.halt()

    waits = [later - earlier for earlier, later in pairwise(tried_at)]

    assert waits[:6] == [20, 40, 80, 160, 320, 600]
    assert set(waits[5:]) == {LONGEST_WAIT_S}


def test_one_that_ran_for_long_is_tried_at_once_again(scene: Scene):
    for _ in range(5):
        scene.look(700.0)
        scene.halt()
    scene.look(700.0)
    scene.look(2 * LONGEST_WAIT_S)
    scene.halt()

    assert scene.look() == "running"


def test_a_resume_that_fails_counts_as_tried(scene: Scene):
    scene.bench.hypervisor.fail["resume"] = GuestNotFoundError("cannot resume: it went away")
    assert scene.look() == "paused"

    assert scene.look(10.0) == "paused"
    assert scene.look(10.0) == "running"


def test_little_space_lets_one_go_on_after_another(scene: Scene):
    start(scene.bench, guest(uuid=SECOND, object="vm/web-2", disks=(disk(2),)))
    scene.halt(SECOND)
    scene.free[MASTER] = ENOUGH_BYTES * 3 // 2

    scene.look()

    states = sorted(one.state for one in scene.bench.hypervisor.domains.values())
    assert states == ["paused", "running"]


def test_waits_double_from_twenty_seconds_to_ten_minutes():
    assert [wait_s(number) for number in (0, 1, 2, 3, 6, 100)] == [0, 20, 40, 80, 600, 600]
