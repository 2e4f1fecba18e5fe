"""A QEMU that does not answer: what was sent to it may still take effect, so no order says that it failed."""

import time
from io import BytesIO
from threading import Event

import libvirt
import pytest

from nodeagent.drivers.libvirt_errors import NotAnsweringError
from nodeagent.drivers.libvirt_lanes import Lanes
from nodeagent.operations.contract import OperationError
from nodeagent.operations.vm_stopping import _press_until_gone
from nodeagent.wire.arguments import PauseVm, RebootVm, SetVmMemory, StartVm, StopVm
from tests.unit.nodeagent.guest.conftest import FakeControl
from tests.unit.nodeagent.guest.samples import MASTER, MIB, VM, guest, nic

CONFIG = guest(nics=(nic(1),))
START = StartVm(MASTER, CONFIG)
BUSY = NotAnsweringError("no answer within 10 s", "destroy it")


@pytest.fixture
def lanes(monkeypatch):
    monkeypatch.setattr(libvirt, "open", lambda _uri: BytesIO())
    found = Lanes("test:///none")
    yield found
    found.close()


def test_neither_a_call_that_hangs_nor_one_behind_it_is_settled(lanes):
    answered = Event()
    with pytest.raises(NotAnsweringError, match="within 20 ms") as first:
        lanes.call(lambda _link: answered.wait(), 20, "shut down guest x", "x")
    with pytest.raises(NotAnsweringError, match="does not answer") as second:
        lanes.call(lambda _link: None, 20, "look at guest x", "x")
    answered.set()

    assert (first.value.settled, second.value.settled) == (False, False)


def test_other_guests_are_asked_while_one_hangs(lanes):
    answered = Event()
    with pytest.raises(NotAnsweringError):
        lanes.call(lambda _link: answered.wait(), 20, "shut down guest x", "x")

    assert lanes.call(lambda _link: 7, 2000, "look at guest y", "y") == 7
    answered.set()


@pytest.mark.parametrize(
    ("wanted", "call"),
    [
        (StopVm(MASTER, VM, 1, "shutdown", 1000, "stopped"), "shut_down"),
        (StopVm(MASTER, VM, 1, "destroy", 1000, "stopped"), "destroy"),
        (RebootVm(MASTER, guest(nics=(nic(1),), run=2), 1000), "shut_down"),
        (PauseVm(VM), "suspend"),
        (SetVmMemory(VM, 96 * MIB), "set_memory"),
    ],
    ids=["stop", "destroy", "reboot", "pause", "memory"],
)
def test_what_was_asked_of_a_guest_that_does_not_answer_is_not_known(bench, monkeypatch, wanted, call):
    bench.define(CONFIG)
    bench.run(START)
    monkeypatch.setattr(bench.hypervisor, call, lambda *_more: _hang(bench, monkeypatch))
    with pytest.raises(OperationError) as caught:
        bench.run(wanted)

    assert not caught.value.settled
    assert bench.record(VM).run.closed is None


def test_a_balloon_that_does_not_hear_the_second_word_is_not_known(bench, monkeypatch):
    monkeypatch.setattr("nodeagent.operations.vm_memory.BALLOON_STALL_MS", 20)
    bench.define(CONFIG)
    bench.run(START)
    bench.hypervisor.domains[VM].deaf = True
    sizes = []

    def set_memory(_vm, size_bytes):
        sizes.append(size_bytes)
        if len(sizes) == 2:
            raise BUSY

    monkeypatch.setattr(bench.hypervisor, "set_memory", set_memory)
    with pytest.raises(OperationError) as caught:
        bench.run(SetVmMemory(VM, 96 * MIB))

    assert not caught.value.settled


def test_a_guest_that_is_destroyed_while_a_call_hangs_counts_as_gone_once_libvirt_says_so(bench, monkeypatch):
    bench.define(CONFIG)
    bench.run(START)
    asked, is_running = [], bench.hypervisor.is_running

    def busy_at_first(vm):
        asked.append(vm)
        if len(asked) == 2:
            raise BUSY
        return is_running(vm)

    monkeypatch.setattr(bench.hypervisor, "is_running", busy_at_first)
    bench.run(StopVm(MASTER, VM, 1, "destroy", 1000, "stopped"))

    assert bench.record(VM).run.closed == "stopped"


def test_a_guest_that_hangs_is_destroyed_where_the_order_says_so(bench, monkeypatch):
    bench.define(CONFIG)
    bench.run(START)
    destroy = bench.hypervisor.destroy
    is_running = bench.hypervisor.is_running

    def answer_again(vm):
        monkeypatch.setattr(bench.hypervisor, "is_running", is_running)
        destroy(vm)

    monkeypatch.setattr(bench.hypervisor, "shut_down", lambda _vm: _hang(bench, monkeypatch))
    monkeypatch.setattr(bench.hypervisor, "destroy", answer_again)
    bench.run(StopVm(MASTER, VM, 1, "shutdown", 10, "stopped", then_destroy=True))

    assert bench.record(VM).run.closed == "stopped"


def test_the_time_that_a_hanging_call_takes_counts_and_a_cancelled_stop_is_not_known(bench, monkeypatch):
    """Else the order's own time is over before the plug is pulled."""
    bench.define(CONFIG)
    bench.run(START)
    asked = []

    def hang_a_while(_vm):
        asked.append(_vm)
        time.sleep(0.15)
        raise BUSY

    monkeypatch.setattr(bench.hypervisor, "is_running", hang_a_while)
    with pytest.raises(OperationError, match="cancelled") as caught:
        _press_until_gone(bench.host, VM, 60_000, FakeControl(limit_ms=100), insist=True)
    assert not caught.value.settled

    monkeypatch.setattr("nodeagent.operations.vm_stopping.PRESS_AGAIN_MS", 1)
    asked.clear()
    assert not _press_until_gone(bench.host, VM, 300, FakeControl(limit_ms=60_000), insist=True)
    assert 0 < len(asked) < 20


def _hang(bench, monkeypatch):
    """As a QEMU that is stopped: this call and every later one about the guest."""

    def refuse(*_arguments):
        raise BUSY

    for name in ("is_running", "domain_xml", "guest_state"):
        monkeypatch.setattr(bench.hypervisor, name, refuse)
    raise BUSY
