"""Presence of running VMs: host, guests, splits, exits."""

import pytest

from .estate import (
    answer,
    closed_run,
    exited,
    guest,
    observe,
    open_run,
    pool,
    read,
    record,
    silent,
    uid,
    vm_of,
)

MASTER = pool("h1", "h2", "h3")


def look(run, *hosts):
    return vm_of(observe([*hosts], [read("main", record("web", run), pool=MASTER)]))


def test_a_vm_runs_on_the_host_that_reports_it():
    vm = look(open_run(1, "h1"), answer("h1", guest("web")), answer("h2"))
    assert (vm.presence, vm.host, vm.doubts, vm.evidence) == ("running", "host/h1", (), None)
    assert vm.guest.uuid == uid("web")


def test_while_it_migrates_it_runs_at_the_source_and_both_guests_are_shown():
    vm = look(open_run(2, "h2", "h1"), answer("h1", guest("web", "incoming")), answer("h2", guest("web")))
    assert (vm.host, [one.host for one in vm.guests]) == ("host/h2", ["host/h1", "host/h2"])


@pytest.mark.parametrize(
    ("run", "host", "doubts"),
    [
        (open_run(1, "h2"), "host/h2", ("host/h1", "host/h3")),
        (open_run(1, "h3", "h1"), "host/h3", ("host/h1", "host/h2")),
        (closed_run(1, "h2"), "host/h2", ("host/h1", "host/h3")),
        (open_run(1, "h9"), "host/h1", (f"host/{uid('h9')}", "host/h2", "host/h3")),
        (None, "host/h1", ("host/h2", "host/h3")),
    ],
)
def test_a_split_runs_where_its_record_says_and_doubts_name_the_other_hosts(run, host, doubts):
    hosts = [answer(name, guest("web")) for name in ("h1", "h2", "h3")]
    vm = look(run, *hosts)
    assert (vm.presence, vm.host, vm.doubts) == ("running", host, tuple(sorted(doubts)))


def test_a_bare_process_elsewhere_is_a_doubt_while_the_vm_runs():
    vm = look(open_run(1, "h1"), answer("h1", guest("web")), answer("h2", processes=["web"]))
    assert (vm.presence, vm.host, vm.doubts) == ("running", "host/h1", ("host/h2",))


def test_a_silent_host_that_its_run_names_is_a_doubt_while_the_vm_runs_elsewhere():
    vm = look(open_run(1, "h2"), answer("h1", guest("web")), silent("h2"))
    assert (vm.presence, vm.host, vm.doubts) == ("running", "host/h1", ("host/h2",))


def test_a_guest_counts_though_the_listing_is_not_complete():
    assert look(open_run(1, "h1"), answer("h1", guest("web"), complete=False)).presence == "running"


@pytest.mark.parametrize(
    ("run", "exits", "reason"),
    [
        (open_run(4, "h1"), {"h1": [exited("web", 4, "crashed")]}, "crashed"),
        (open_run(4, "h1"), {"h1": [exited("web", 3, "crashed")]}, None),
        (open_run(4, "h1"), {"h1": [exited("web", 3, "crashed"), exited("web", 4, "shutdown")]}, "shutdown"),
        (closed_run(4, "h1"), {"h1": [exited("web", 4, "crashed")]}, None),
        (None, {"h1": [exited("web", 4, "crashed")]}, None),
        (open_run(4, "h1"), {"h1": [exited("other", 4, "crashed")]}, None),
        (
            open_run(4, "h1", "h2"),
            {"h1": [exited("web", 4, "migrated")], "h2": [exited("web", 4, "shutdown")]},
            "shutdown",
        ),
        (open_run(4, "h1", "h2"), {"h1": [exited("web", 4, "migrated")]}, "migrated"),
    ],
)
def test_the_exit_of_the_open_run_is_attached_until_the_record_holds_it(run, exits, reason):
    vm = look(run, *(answer(host, exits=tuple(exits.get(host, ()))) for host in ("h1", "h2")))
    assert (vm.exit.reason if vm.exit else None) == reason


def test_without_a_readable_record_the_newest_exit_is_attached():
    exits = exited("web", 2, "shutdown"), exited("web", 5, "crashed")
    seen = observe([answer("h1", exits=exits)], [read("main", unreadable=["web"], pool=pool("h1"))])
    assert vm_of(seen).exit.run == 5
