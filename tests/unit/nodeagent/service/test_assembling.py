"""State documents put together from fake collectors, and the small parts around them."""

import io
import logging
import threading
from types import SimpleNamespace

import pytest
from enginebench import BOOT, HOST, VM, make_order

from nodeagent.drivers.netlink import Link
from nodeagent.errors import DriverError
from nodeagent.facts.assemble import Collectors, Identity, assemble_state
from nodeagent.facts.checks import PeriodicChecks
from nodeagent.facts.guests import GuestsSeen
from nodeagent.facts.prompt import Prompt
from nodeagent.ledger import Ledger
from nodeagent.logs import LineFormatter
from nodeagent.settings import Settings
from nodeagent.wire.facts import CertificateFacts, CheckFacts, GuestFacts, HostCapabilities, LeaseFacts

START = "aaaaaaaa-0000-4000-8000-000000000001"
LINKS = {
    "lo": Link(1, "lo", "", 65536, True, loopback=True),
    "eth1": Link(2, "eth1", "", 1500, True, master="lan0"),
    "eth0": Link(3, "eth0", "", 1500, True, addresses=("192.0.2.1",)),
    "vnet0": Link(4, "vnet0", "tun", 1500, True, master="lan0"),
    "lan0": Link(5, "lan0", "bridge", 1500, True, alias="ostler:net/lan"),
    "br9": Link(6, "br9", "bridge", 1500, False),
}


@pytest.fixture
def scene(tmp_path):
    ledger = Ledger(tmp_path, BOOT)
    events = []
    guests = SimpleNamespace(
        seen=GuestsSeen((GuestFacts(VM, "web-1", "running", True),), True, (VM,)), events=events
    )

    def look(networks):
        assert networks == {"lan0": "net/lan"}
        events.append("guests")
        return guests.seen

    guests.collect = look
    settings = Settings.load(tmp_path / "settings.json")
    settings.set_host_id(3)
    host = SimpleNamespace(
        uuid=HOST,
        boot_id=BOOT,
        settings=settings,
        links=SimpleNamespace(read=lambda: LINKS),
        exits=SimpleNamespace(pending=tuple, deeds=tuple),
        paths=SimpleNamespace(tpm_state=tmp_path / "swtpm"),
    )
    (tmp_path / "swtpm" / VM).mkdir(parents=True)
    (tmp_path / "swtpm" / f"_remove_me_{HOST}").mkdir()
    tenure = SimpleNamespace(facts=lambda: LeaseFacts(4), resync_needed=True)
    collectors = Collectors(
        host=host,
        identity=Identity(START, "1.2.3", ("pause-vm",)),
        ledger=ledger,
        tenure=tenure,
        guests=guests,
        capabilities=Prompt("capabilities", lambda: HostCapabilities(1 << 30, 2, 2, 1, True)),
        storage=tuple,
        certificate=SimpleNamespace(read=lambda: CertificateFacts("PEM", 1, 7)),
        checks=SimpleNamespace(findings=(CheckFacts("warning", "time", "late"),)),
    )
    return SimpleNamespace(collectors=collectors, ledger=ledger, guests=guests, events=events)


def test_a_document_has_what_every_collector_reports(scene):
    scene.ledger.accept(make_order(scene.ledger.id, 0))

    state = assemble_state(scene.collectors)

    assert [(n.bridge, n.network, n.nic, n.up) for n in state.networks] == [
        ("br9", None, None, False),
        ("lan0", "net/lan", "eth1", True),
    ]
    assert state.nics == ("eth0", "eth1")
    assert (state.host_id, state.capabilities.threads, state.lease.epoch) == (3, 2, 4)
    assert [order.state for order in state.orders] == ["running"]
    assert (state.kept, state.set_aside) == ((VM,), (HOST,))
    assert (state.resync_needed, state.processes, state.certificate) == (
        True,
        (VM,),
        CertificateFacts("PEM", 1, 7),
    )
    assert [check.summary for check in state.checks] == ["late"]


def test_orders_are_read_before_guests_so_that_no_end_is_shown_without_its_effect(scene, monkeypatch):
    read = scene.ledger.order_facts
    monkeypatch.setattr(scene.ledger, "order_facts", lambda: scene.events.append("orders") or read())

    assemble_state(scene.collectors)

    assert scene.events == ["orders", "guests"]


def test_a_host_whose_libvirt_is_silent_says_so(scene):
    scene.guests.seen = GuestsSeen((), False, (), problem="libvirtd does not answer")

    state = assemble_state(scene.collectors)

    assert not state.guests_complete
    assert ("error", "libvirtd does not answer") in {(c.level, c.summary) for c in state.checks}


def test_what_takes_long_to_find_out_does_not_hold_up_the_rest():
    gate, calls = threading.Event(), []

    def read():
        calls.append(1)
        gate.wait(20)
        return 42

    prompt = Prompt("answer", read, wait_s=0.01)
    for _ in range(3):
        with pytest.raises(DriverError, match="not known yet"):
            prompt.get()
    assert len(calls) == 1
    gate.set()
    patient = Prompt("answer", read, wait_s=10)
    assert patient.get() == 42


def test_what_was_known_once_is_used_while_it_is_asked_again():
    gate = threading.Event()
    gate.set()
    prompt = Prompt("answer", lambda: gate.wait(20) and 42, wait_s=0.5)
    assert prompt.get() == 42
    gate.clear()

    assert prompt.get() == 42
    gate.set()


def test_checks_are_told_once_when_their_findings_change():
    changed = threading.Event()
    checks = PeriodicChecks(lambda: (CheckFacts("error", "kvm", "none"),))
    checks.listen(changed.set)
    checks.start()

    assert changed.wait(10)
    assert checks.findings[0].summary == "none"
    checks.stop()


def test_an_event_is_one_line_with_its_traceback_and_priority():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(for_journal=True))
    logger = logging.getLogger("ostler-test")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        int("one\ntwo")
    except ValueError:
        logger.exception("it broke")

    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("<3>ERROR ostler-test: it broke | Traceback")


def test_what_is_known_is_given_without_a_thread():
    prompt = Prompt("answer", lambda: pytest.fail("it was read"), known=lambda: 42)

    assert prompt.get() == 42
