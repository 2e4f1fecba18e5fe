"""GuestFacts follow what libvirt shows; a balloon that is on its way is no drift."""

from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.drivers.libvirt_values import GuestRow
from nodeagent.errors import DriverError
from nodeagent.facts.exits import Exits
from nodeagent.facts.guests import BALLOON_PATIENCE_S, Balloon, Guests
from nodeagent.guestxml.reading import read_guest
from nodeagent.guestxml.writing import write_domain
from nodeagent.wire.codec import decode, encode
from nodeagent.wire.facts import GuestFacts, MigrationFacts
from tests.unit.nodeagent.guest.fake_hypervisor import FakeHypervisor
from tests.unit.nodeagent.guest.samples import IMAGE, MIB, PLAIN, SERVER, VM, place_for

BOOT = "0e3f7a52-1f5a-4c39-8a8f-0a4f3d1f7c11"


@pytest.fixture
def hypervisor() -> FakeHypervisor:
    return FakeHypervisor()


@pytest.fixture
def guests(hypervisor, tmp_path: Path) -> Guests:
    return Guests(hypervisor, Exits.load(tmp_path / "exits", BOOT, tmp_path), lambda: {"br9": "net/nine"})


def test_a_guest_is_reported_with_what_it_was_ordered_to_be(hypervisor, guests):
    hypervisor.sizes = {"vda": 10, "sdb": 20, "sdc": 30}
    hypervisor.create(VM, write_domain(SERVER, place_for()))
    seen = guests.collect()
    facts = seen.guests[0]

    chosen = [nic.pci for nic in facts.config.nics]
    nics = tuple(replace(nic, pci=pci) for nic, pci in zip(SERVER.nics, chosen, strict=True))
    assert facts.config == replace(SERVER, nics=nics)
    assert facts.disk_capacities == ((IMAGE.format(1), 10), (IMAGE.format(2), 20), (IMAGE.format(3), 30))
    assert (seen.complete, seen.processes, facts.managed, facts.vcpus) == (True, (VM,), True, 2)
    assert decode(encode(facts), GuestFacts) == facts


def test_only_xml_that_changed_is_parsed_again(hypervisor, guests, monkeypatch):
    parsed = []
    monkeypatch.setattr(
        "nodeagent.facts.guests.read_guest",
        lambda xml, networks: parsed.append(1) or read_guest(xml, networks),
    )
    hypervisor.create(VM, write_domain(PLAIN, place_for()))
    guests.collect()
    guests.collect()
    assert len(parsed) == 1
    hypervisor.set_memory(VM, 96 * MIB)
    guests.collect()
    assert len(parsed) == 2


def test_a_growth_is_asked_for_again(hypervisor, guests):
    hypervisor.sizes = {"vda": 10, "sdb": 20, "sdc": 30}
    hypervisor.create(VM, write_domain(SERVER, place_for()))
    guests.collect()
    hypervisor.resize_disk(VM, "vda", 99)
    assert guests.collect().guests[0].disk_capacities[0] == (IMAGE.format(1), 99)
    hypervisor.sizes["vda"] = 100
    guests.refresh_capacities()
    assert guests.collect().guests[0].disk_capacities[0] == (IMAGE.format(1), 100)


@pytest.mark.parametrize("broken", ["list_guests", "list_processes"])
def test_a_look_that_failed_claims_nothing(hypervisor, guests, broken):
    hypervisor.create(VM, write_domain(PLAIN, place_for()))
    guests.collect()
    hypervisor.fail[broken] = DriverError("does not answer")
    seen = guests.collect()

    assert (seen.complete, seen.guests, seen.problem) == (False, (), "does not answer")


def test_a_guest_that_hangs_is_reported_with_what_is_known(hypervisor, guests):
    hypervisor.create(VM, write_domain(PLAIN, place_for()))
    hypervisor.domains[VM].state = "unknown"
    facts = guests.collect().guests[0]

    assert (facts.state, facts.config) == ("unknown", PLAIN)


def test_a_guest_that_hangs_tells_since_when_until_it_answers_again(hypervisor, tmp_path):
    now_ms = [5_000]
    exits = Exits.load(tmp_path / "exits", BOOT, tmp_path)
    guests = Guests(hypervisor, exits, boottime=lambda: now_ms[0])
    hypervisor.create(VM, write_domain(PLAIN, place_for()))

    def look(at_ms, state):
        now_ms[0], hypervisor.domains[VM].state = at_ms, state
        return guests.collect().guests[0].hangs_since_ms

    assert [look(5_000, "running"), look(6_000, "unknown"), look(9_000, "unknown")] == [None, 6_000, 6_000]
    assert [look(10_000, "running"), look(12_000, "unknown")] == [None, 12_000]


def test_domains_that_do_not_run_are_no_guests_but_their_autostart_is_told(hypervisor, guests, monkeypatch):
    row = GuestRow(VM, "old", running=False, state="shutting-down", persistent=True, autostart=True)
    monkeypatch.setattr(hypervisor, "list_guests", lambda: (row,))
    seen = guests.collect()

    assert (seen.guests, seen.autostarting) == ((), (VM,))


def test_xml_that_cannot_be_read_leaves_the_guest_reported(hypervisor, guests, monkeypatch):
    row = GuestRow(VM, "odd", running=True, state="running", xml="<domain/>")
    monkeypatch.setattr(hypervisor, "list_guests", lambda: (row,))

    assert guests.collect().guests == (GuestFacts(VM, "odd", "running", managed=False),)


def test_a_migration_that_this_agent_carries_is_shown(hypervisor, guests):
    hypervisor.create(VM, write_domain(PLAIN, place_for()))
    hypervisor.migrations[VM] = MigrationFacts(BOOT, 1, 2, 3)

    assert guests.collect().guests[0].migration == MigrationFacts(BOOT, 1, 2, 3)


def test_an_arriving_guest_that_does_not_arrive_is_no_exit(hypervisor, guests):
    hypervisor.create(VM, write_domain(PLAIN, place_for()))
    hypervisor.domains[VM].state = "incoming"
    guests.collect()
    hypervisor.destroy(VM)
    guests.collect()

    assert guests._exits.pending() == ()


def show(balloon: Balloon, actual: int, now: float, *, alive: bool = True, target: int = 100) -> int:
    return balloon.show(target, actual, alive=alive, now=now)


def test_a_balloon_on_its_way_shows_its_target_and_one_that_was_there_what_it_is():
    balloon = Balloon()

    assert show(balloon, 300, 0, alive=False) == 100
    assert show(balloon, 200, 1) == 100
    assert show(balloon, 100, 2) == 100
    assert show(balloon, 150, 3) == 150


def test_a_balloon_that_never_gets_there_shows_in_the_end():
    balloon = Balloon()

    assert show(balloon, 300, 10) == 100
    assert show(balloon, 300, 10 + BALLOON_PATIENCE_S - 1) == 100
    assert show(balloon, 300, 10 + BALLOON_PATIENCE_S) == 300


def test_a_guest_without_balloon_driver_shows_its_target_for_ever():
    balloon = Balloon()
    show(balloon, 300, 0, alive=False)

    assert show(balloon, 300, 10_000, alive=False) == 100


def test_a_new_target_gives_the_balloon_time_anew():
    balloon = Balloon()
    show(balloon, 100, 0)

    assert show(balloon, 100, 1, target=80) == 80
