"""Master and copies: which record holds, and when its absence is known."""

from dataclasses import replace

import pytest

from nodeagent.wire.version import Format

from .estate import (
    CENTER,
    answer,
    closed_run,
    declare,
    disk_record,
    guest,
    observe,
    open_run,
    pool,
    read,
    record,
    silent,
    told,
    uid,
    unread,
    vm_of,
    volume,
)

BOTH = ("main", "second")
HOSTS = [answer("h1", domains=BOTH), silent("h2")]


def look(master, copy, **given):
    return observe(HOSTS, [master, copy], declared=declare("h1", "h2", domains=BOTH, **given))


def master(*vms, **given):
    given.setdefault("pool", pool("h1", "h2", domains=BOTH))
    return read("main", *vms, **given)


@pytest.mark.parametrize(
    ("on_master", "on_copy", "state", "revision", "run"),
    [
        (record("web", revision=5), record("web", revision=5), "read", 5, None),
        (record("web", revision=5), record("web", revision=4), "read", 5, None),
        (record("web", revision=4), record("web", revision=5), "read", 5, None),
        (record("web", revision=5), None, "read", 5, None),
        (None, record("web", revision=5), "unreadable", 5, None),
        # A claim is there before the revision that follows it; narrowing counts once the master has it.
        (record("web", open_run(3, "h1")), record("web", closed_run(2, "h1")), "read", 3, open_run(3, "h1")),
        (record("web", closed_run(2, "h1")), record("web", open_run(3, "h1")), "read", 3, open_run(3, "h1")),
        (
            record("web", closed_run(3, "h1"), revision=5),
            record("web", open_run(3, "h1"), revision=4),
            "read",
            5,
            closed_run(3, "h1"),
        ),
        (
            record("web", closed_run(2, "h1"), revision=5),
            record("web", open_run(3, "h1"), revision=4),
            "read",
            5,
            open_run(3, "h1"),
        ),
        # One revision, two contents: damage.
        (record("web", open_run(3, "h1")), record("web", closed_run(3, "h1")), "unreadable", 3, ...),
        (record("web", macs={"a": "56:6f:1a:00:00:01"}), record("web"), "unreadable", 3, ...),
    ],
)
def test_the_higher_readable_revision_wins_with_the_higher_run(on_master, on_copy, state, revision, run):
    seen = look(master(*([on_master] if on_master else [])), read("second", *([on_copy] if on_copy else [])))
    vm = vm_of(seen)
    assert (vm.record_state, vm.record.revision) == (state, revision)
    if run is not ...:
        assert vm.record.run == run


@pytest.mark.parametrize(
    ("on_master", "on_copy", "state", "known"),
    [
        (master(unreadable=["web"]), read("second", record("web")), "unreadable", True),
        (master(unreadable=["web"]), read("second"), "unreadable", False),
        (master(record("web"), unreadable=["web"]), read("second"), "unreadable", True),
        (master(record("web")), read("second", unreadable=["web"]), "read", True),
        (master(), read("second", unreadable=["web"]), "unreadable", False),
        (master(complete=False), read("second", record("web")), "unknown", True),
        (master(record("web"), complete=False), read("second"), "read", True),
        (master(record("web")), unread("second"), "read", True),
        (unread("main"), read("second", record("web")), "unknown", True),
        (master(record("web", data_center=uid("other"))), read("second"), "unreadable", False),
        (master(record("web", format=Format(2, 0))), read("second"), "unreadable", False),
    ],
)
def test_a_record_counts_only_if_the_masters_was_read(on_master, on_copy, state, known):
    vm = vm_of(look(on_master, on_copy))
    assert (vm.record_state, vm.record is not None) == (state, known)
    assert (vm.presence == "not-running") == (state == "read")


@pytest.mark.parametrize(
    ("on_master", "on_copy", "known"),
    [
        (master(), read("second"), True),
        (master(), unread("second"), False),
        (master(), read("second", complete=False), False),
        (master(complete=False), read("second"), False),
        (unread("main"), read("second"), False),
        (master(unreadable=["other"]), read("second"), False),
        (master(unreadable=["other"]), read("second", record("other")), True),
        (master(), read("second", master=True), True),
    ],
)
def test_that_a_record_does_not_exist_is_known_only_when_master_and_copies_were_read(
    on_master, on_copy, known
):
    seen = look(on_master, on_copy)
    assert seen.records_read == known
    assert (seen.newcomer_evidence is not None) == known
    if known:
        assert seen.newcomer_evidence.basis == "never-ran"


def test_a_declared_domain_that_is_not_made_yet_holds_no_copies():
    seen = observe(
        [answer("h1")],
        [read("main", pool=pool("h1")), unread("later")],
        declared=declare("h1", domains=("main", "later")),
    )
    assert seen.records_read


def test_a_domain_that_the_pool_lists_is_asked_for_even_if_nobody_declares_it():
    seen = observe([answer("h1")], [read("main", pool=pool("h1", domains=BOTH))])
    assert not seen.records_read
    assert seen.storage[uid("second")].contents is None


def test_of_two_masters_none_counts_until_both_were_read():
    one = read("main", record("web", closed_run(1, "h1")), pool=pool("h1", "h2"))
    half = read("second", master=True, complete=False, pool=pool("h1", "h2", revision=2))
    assert told(look(one, half)) == ("unknown", None, ("host/h2", "sd/main", "sd/second"))
    whole = read(
        "second", record("web", open_run(2, "h2"), revision=9), master=True, pool=pool("h1", "h2", revision=2)
    )
    seen = look(one, whole)
    assert told(seen) == ("unknown", None, ("host/h2",))
    assert (vm_of(seen).record.revision, seen.master) == (9, uid("second"))


def test_two_readers_that_read_different_things_count_as_none():
    reports = [read("main", record("web"), pool=pool("h1")), read("main", reader="h2", pool=pool("h1"))]
    seen = observe([answer("h1"), answer("h2")], reports)
    assert seen.storage[uid("main")].contents is None
    assert "host/h1 and host/h2" in seen.storage[uid("main")].detail


def test_a_reader_that_answers_counts_before_one_that_does_not():
    reports = [read("main", record("web"), reader="h2"), read("main", pool=pool("h1"))]
    seen = observe([answer("h1"), silent("h2")], reports)
    assert seen.storage[uid("main")].reader == "host/h1"
    assert uid("web") not in seen.vms


def test_a_place_that_holds_another_domain_is_not_this_domain():
    misplaced = replace(read("main"), uuid=uid("second"))
    seen = observe([answer("h1")], [misplaced])
    assert seen.storage[uid("second")].contents is None


# Tombstones, objects, disks


def test_tombstones_stay_and_own_no_object():
    dead = record("web", closed_run(1, "h1"), removed=True)
    seen = observe([answer("h1")], [read("main", dead, pool=pool("h1"))])
    assert vm_of(seen).record.removed
    assert seen.vm_of == {}


def test_only_managed_vms_and_disks_own_their_object():
    contents = read(
        "main",
        record("web"),
        record("free", managed=False),
        disks=(disk_record("d1"), disk_record("d2", managed=False), disk_record("d3", removed=True)),
        pool=pool("h1"),
    )
    seen = observe([answer("h1")], [contents])
    assert seen.vm_of == {"vm/web": uid("web")}
    assert seen.disk_of == {"disk/d1": uid("d1")}


def test_of_two_records_of_one_object_the_higher_incarnation_owns_it():
    twice = [record("web"), record("web-2", obj="vm/web", incarnation=2)]
    for vms in (twice, twice[::-1]):
        seen = observe([answer("h1")], [read("main", *vms, pool=pool("h1"))])
        assert seen.vm_of == {"vm/web": uid("web-2")}


def test_a_copy_tells_whose_vm_it_is_though_it_proves_nothing():
    seen = look(unread("main"), read("second", record("web")))
    assert seen.vm_of == {"vm/web": uid("web")}
    assert vm_of(seen).evidence is None


def test_disks_join_their_records_and_their_volumes():
    contents = [
        master(
            disks=(disk_record("d1", "second"), disk_record("d2")), volumes=(volume("d1"), volume("lone"))
        ),
        read("second", volumes=(volume("d1"),)),
    ]
    seen = look(*contents)
    found = {one.object: (one.storage_domain, one.volume is not None) for one in seen.disks.values()}
    assert found == {
        "disk/d1": (uid("second"), True),
        "disk/d2": (uid("main"), False),
        None: (uid("main"), True),
    }


def test_the_higher_revision_of_a_disk_record_wins():
    seen = look(master(disks=(disk_record("d1"),)), read("second", disks=(disk_record("d1", revision=2),)))
    assert seen.disks[uid("d1")].record.revision == 2


def test_two_disk_records_of_one_revision_are_told_apart_the_same_way_in_any_order():
    one, other = disk_record("d1"), disk_record("d1", last_order="k")
    seen = [
        look(master(disks=disks), read("second")).disks[uid("d1")].record
        for disks in ((one, other), (other, one))
    ]
    assert seen[0] == seen[1]


def test_a_strangers_guest_has_no_object_and_ours_without_record_has_that_of_its_metadata():
    guests = guest("theirs", managed=False), guest("ours")
    seen = observe([answer("h1", *guests)], [read("main", pool=pool("h1"))])
    assert (vm_of(seen, "theirs").object, vm_of(seen, "ours").object) == (None, "vm/ours")
    assert {vm_of(seen, name).record_state for name in ("theirs", "ours")} == {"absent"}
    assert seen.vm_of == {}


def test_master_pool_and_data_center_are_named():
    seen = look(master(), read("second"))
    assert (seen.master, seen.data_center, seen.data_center_uuid) == (uid("main"), "dc/home", CENTER)
    assert seen.pool.host_ids == {uid("h1"): 1, uid("h2"): 2}


def test_reports_of_one_moment_are_complete_when_everything_answered():
    both = [answer("h1", domains=BOTH), answer("h2", domains=BOTH)]
    contents = [master(), read("second")]
    assert observe(both, contents, declared=declare("h1", "h2")).complete
    assert not look(*contents).complete
