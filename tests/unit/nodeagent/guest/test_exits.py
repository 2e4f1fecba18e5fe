"""An exit is kept durably, with its reason, from when it is noticed until the record has it."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.drivers.libvirt_values import GuestEvent
from nodeagent.errors import DriverError
from nodeagent.facts.exits import Exits, read_logged_reason
from nodeagent.wire.facts import DeedFacts, ExitFacts

VM = "5f0c1c9e-65a4-5c1c-9b7c-0d2a54c1b6a1"
BOOT = "0e3f7a52-1f5a-4c39-8a8f-0a4f3d1f7c11"
OTHER_BOOT = "0e3f7a52-1f5a-4c39-8a8f-0a4f3d1f7c12"


def load(tmp_path: Path, boot: str = BOOT) -> Exits:
    return Exits.load(tmp_path / "exits", boot, tmp_path / "logs", lambda: 7_000)


def ended(run: int, reason: str) -> ExitFacts:
    """An exit that was noticed in the same moment, by the clock of `load`."""
    return ExitFacts(VM, run, reason, 0, 7_000, BOOT)  # type: ignore[arg-type]


def look(exits: Exits, guests: dict[str, int], alive: set[str] | None = None) -> None:
    exits.observe(guests, frozenset(guests if alive is None else alive), time.monotonic())


def write_log(tmp_path: Path, text: str) -> None:
    (tmp_path / "logs").mkdir(exist_ok=True)
    (tmp_path / "logs" / f"{VM}.log").write_text(text)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([("stopped", "shutdown")], "shutdown"),
        ([("stopped", "destroyed")], "destroyed"),
        ([("stopped", "failed")], "crashed"),
        ([("stopped", "crashed")], "crashed"),
        ([("stopped", "migrated")], "migrated"),
        ([("shutdown-begun", "guest"), ("stopped", "shutdown")], "shutdown"),
        ([("shutdown-begun", "host"), ("stopped", "shutdown")], "destroyed"),
        ([("shutdown-begun", "host"), ("stopped", "migrated")], "migrated"),
        ([("crashed", ""), ("stopped", "shutdown")], "crashed"),
        ([("stopped", "destroyed"), ("started", ""), ("stopped", "shutdown")], "shutdown"),
        ([], "unknown"),
    ],
)
def test_what_libvirt_told_gives_the_reason(tmp_path, events, reason):
    exits = load(tmp_path)
    look(exits, {VM: 3})
    for kind, detail in events:
        exits.hear(GuestEvent(kind, VM, detail))
    look(exits, {})

    assert exits.pending() == (ended(3, reason),)


def test_an_end_that_the_agent_missed_is_read_from_libvirts_log(tmp_path):
    load(tmp_path).running(VM, 4)
    write_log(tmp_path, "starting up libvirt version: 9.0.0\n…: shutting down, reason=shutdown\n")
    exits = load(tmp_path)
    look(exits, {})

    assert exits.pending() == (ended(4, "shutdown"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("shutting down, reason=crashed\n", "crashed"),
        ("shutting down, reason=destroyed\n2026 starting up libvirt version: 9.0.0\n", "unknown"),
        ("shutting down, reason=saved\n", "unknown"),
        ("", "unknown"),
        ("x" * 300_000 + "shutting down, reason=migrated\n", "migrated"),
    ],
)
def test_the_last_line_about_the_last_qemu_counts(tmp_path, text, reason):
    write_log(tmp_path, text)

    assert read_logged_reason(tmp_path / "logs" / f"{VM}.log") == reason


def test_a_log_that_is_not_there_tells_nothing(tmp_path):
    assert read_logged_reason(tmp_path / "none.log") == "unknown"


def test_an_exit_tells_how_long_the_guest_ran_and_when_it_ended(tmp_path):
    times = iter([7_000, 61_500])
    exits = Exits.load(tmp_path / "exits", BOOT, tmp_path / "logs", lambda: next(times))
    exits.running(VM, 4)
    look(exits, {})

    (exit_,) = exits.pending()
    assert (exit_.ran_ms, exit_.ended_ms, exit_.boot_id) == (54_500, 61_500, BOOT)


def test_exits_and_lives_survive_the_agent(tmp_path):
    exits = load(tmp_path)
    look(exits, {VM: 1})
    look(exits, {})
    again = load(tmp_path)

    assert again.pending() == exits.pending() != ()
    again.forget(VM, 1)
    assert load(tmp_path).pending() == ()


def test_a_guest_of_an_earlier_boot_was_lost_with_its_host(tmp_path):
    load(tmp_path, OTHER_BOOT).running(VM, 7)
    exits = load(tmp_path)
    look(exits, {})

    assert exits.pending() == (ExitFacts(VM, 7, "host-lost"),)


def test_a_guest_whose_qemu_still_lives_has_not_ended(tmp_path):
    exits = load(tmp_path)
    look(exits, {VM: 1})
    look(exits, {}, alive={VM})

    assert exits.pending() == ()


def test_a_guest_that_began_after_the_look_is_not_missed_by_it(tmp_path):
    exits = load(tmp_path)
    looked_at = time.monotonic()
    exits.running(VM, 1)
    exits.observe({}, frozenset(), looked_at)

    assert exits.pending() == ()


def test_the_end_of_an_earlier_run_is_not_forgotten_with_a_later_exit_of_another_number(tmp_path):
    exits = load(tmp_path)
    look(exits, {VM: 2})
    look(exits, {})
    exits.forget(VM, 1)

    assert exits.pending() == (ended(2, "unknown"),)


def test_a_damaged_file_is_passed_over(tmp_path):
    load(tmp_path).running(VM, 1)
    (tmp_path / "exits" / "broken.exit").write_bytes(b"{")

    assert load(tmp_path).pending() == ()


def test_a_guest_that_the_agent_destroys_by_itself_is_told_for_an_hour(tmp_path, monkeypatch):
    now_ms = [1_000]
    monkeypatch.setattr("nodeagent.facts.exits.wallclock_ms", lambda: now_ms[0])
    exits = load(tmp_path)
    look(exits, {VM: 3})
    with exits.destroying(VM, "a second life"):
        exits.hear(GuestEvent("stopped", VM, "destroyed"))
    look(exits, {})

    told = DeedFacts(VM, 3, "a second life", 1_000)
    assert exits.pending() == (replace(ended(3, "destroyed"), detail="a second life"),)
    assert exits.deeds() == load(tmp_path).deeds() == (told,)

    now_ms[0] += 3_600_000
    assert exits.deeds() == load(tmp_path).deeds() == ()


def test_nothing_is_told_of_a_guest_that_could_not_be_destroyed(tmp_path):
    exits = load(tmp_path)
    look(exits, {VM: 3})
    with pytest.raises(DriverError), exits.destroying(VM, "a second life"):
        raise DriverError("no answer")

    assert exits.deeds() == load(tmp_path).deeds() == ()


def test_a_guest_is_destroyed_also_where_that_cannot_be_kept(tmp_path, monkeypatch):
    exits, done = load(tmp_path), []
    look(exits, {VM: 3})
    monkeypatch.setattr("nodeagent.facts.exits.replace_file", _full)
    with exits.destroying(VM, "a second life"):
        done.append(VM)

    assert [one.vm for one in exits.deeds()] == done == [VM]


def _full(*_arguments):
    raise DriverError("no space left")
