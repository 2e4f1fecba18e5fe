"""Who can prove that a VM is not running: one table a rule. Each row says what is seen of `web`."""

from dataclasses import replace

import pytest

from .estate import (
    answer,
    closed_run,
    declare,
    guest,
    observe,
    off,
    open_run,
    order,
    pool,
    read,
    record,
    refused,
    silent,
    state,
    told,
    uid,
    unknown,
    unread,
    vm_of,
)

RUNS = ("running", None, ())
CLOSED = ("not-running", "closed", ())
PROVEN = ("not-running", "hosts", ())


def in_doubt(*ids):
    return "unknown", None, tuple(sorted(ids))


def estate(run, *hosts, proofs=(), h1=None, ids=("h1", "h2", "h3")):
    """`web` has this record on the master, which h1 reads; h1 runs nothing unless it is given."""
    master = read("main", record("web", run), pool=pool(*ids))
    return told(observe([h1 or answer("h1"), *hosts], [master], proofs))


# A record that was read and shows no open run


@pytest.mark.parametrize(
    ("run", "hosts", "expected"),
    [
        (closed_run(4, "h2"), [answer("h2")], CLOSED),
        (closed_run(4, "h2"), [silent("h2")], CLOSED),
        (closed_run(4, "h2"), [refused("h2")], CLOSED),
        (None, [silent("h2"), unknown("h3")], CLOSED),
        (closed_run(4, "h2"), [answer("h2", guest("web"))], RUNS),
        (closed_run(4, "h2"), [answer("h2", processes=["web"])], in_doubt("host/h2")),
        (closed_run(4, "h2"), [answer("h2", complete=False)], CLOSED),
        (closed_run(4, "h2"), [answer("h2", guest("web", "incoming"))], in_doubt("host/h2")),
    ],
)
def test_a_closed_record_is_proof_unless_somebody_reports_the_vm(run, hosts, expected):
    assert estate(run, *hosts) == expected


def test_the_evidence_of_a_closed_record_names_its_run():
    master = read("main", record("web", closed_run(4, "h1")), record("new"), pool=pool("h1"))
    seen = observe([answer("h1")], [master])
    assert vm_of(seen).evidence.run == 4
    assert vm_of(seen, "new").evidence.run == 0


@pytest.mark.parametrize(
    ("run", "last", "expected"),
    [
        (closed_run(4, "h2"), guest("web", run=4), CLOSED),
        (closed_run(4, "h2"), guest("web", run=3), CLOSED),
        (closed_run(4, "h2"), guest("web", run=5), in_doubt("host/h2")),
        (closed_run(4, "h2"), guest("web", managed=False), in_doubt("host/h2")),
        (None, guest("web", run=1), in_doubt("host/h2")),
        (open_run(4, "h3"), guest("web", run=5), in_doubt("host/h2")),
        (open_run(4, "h3"), guest("web", run=4), PROVEN),
    ],
)
def test_a_silent_host_that_was_last_seen_with_a_run_unknown_to_the_record_keeps_it_in_doubt(
    run, last, expected
):
    hosts = [silent("h2", state("h2", last)), answer("h3")]
    assert estate(run, *hosts) == expected
    assert estate(run, *hosts, proofs=[off("h2")])[0] == "not-running"


# An open run: each host that it names


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ([answer("h2"), answer("h3")], PROVEN),
        ([answer("h2"), silent("h3")], PROVEN),
        ([silent("h2"), answer("h3")], in_doubt("host/h2")),
        ([unknown("h2"), answer("h3")], in_doubt("host/h2")),
        ([refused("h2"), answer("h3")], in_doubt("host/h2")),
        ([silent("h2", state("h2")), answer("h3")], in_doubt("host/h2")),
        ([answer("h3")], in_doubt(f"host/{uid('h2')}")),
        ([answer("h2", complete=False)], in_doubt("host/h2")),
        ([answer("h2", processes=["web"])], in_doubt("host/h2")),
        ([answer("h2", guest("web"))], RUNS),
        ([answer("h2", guest("web", "paused"))], RUNS),
        ([answer("h2", guest("web", "unknown"))], RUNS),
        ([answer("h2", guest("web", "crashed"))], RUNS),
        ([answer("h2", boot="boot-2")], PROVEN),
        ([answer("h2", guest("web"), boot="boot-2")], RUNS),
        ([answer("h2", boot="boot-2", processes=["web"])], in_doubt("host/h2")),
        ([answer("h2"), answer("h3", guest("web"))], RUNS),
        ([answer("h2"), answer("h3", processes=["web"])], in_doubt("host/h3")),
    ],
)
def test_an_open_run_needs_an_account_of_each_host_that_it_names(hosts, expected):
    presence, basis, doubts = estate(open_run(4, "h2"), *hosts)
    if expected is RUNS:
        assert (presence, basis) == RUNS[:2]
    else:
        assert (presence, basis, doubts) == expected


@pytest.mark.parametrize(("boot", "kind"), [("boot-1", "answered"), ("boot-2", "boot-changed")])
def test_evidence_says_whether_the_host_booted_since_the_run_began(boot, kind):
    master = read("main", record("web", open_run(4, "h2")), pool=pool("h1", "h2"))
    evidence = vm_of(observe([answer("h1"), answer("h2", boot=boot, generation=9)], [master])).evidence
    assert evidence.run == 4
    assert [(one.host, one.kind, one.boot_id, one.generation) for one in evidence.hosts] == [
        (uid("h2"), kind, uid(f"h2-{boot}"), 9)
    ]


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ([answer("h2", guest("web")), answer("h3", guest("web", "incoming"))], RUNS),
        ([answer("h2", guest("web")), silent("h3")], ("running", None, ("host/h3",))),
        ([answer("h2"), answer("h3", guest("web", "incoming"))], in_doubt("host/h3")),
        ([silent("h2"), answer("h3", guest("web", "incoming"))], in_doubt("host/h2", "host/h3")),
        ([silent("h2"), answer("h3")], in_doubt("host/h2")),
        ([answer("h2"), silent("h3")], in_doubt("host/h3")),
        ([answer("h2"), answer("h3")], PROVEN),
    ],
)
def test_while_a_migration_is_open_both_ends_count(hosts, expected):
    assert estate(open_run(4, "h2", "h3"), *hosts) == expected


def test_an_open_run_that_names_no_host_needs_every_host():
    assert estate(open_run(4), answer("h2"), silent("h3")) == in_doubt("host/h3")
    assert estate(open_run(4), answer("h2"), answer("h3")) == PROVEN


# Hosts proven off


@pytest.mark.parametrize(
    ("host", "proof", "expected"),
    [
        (silent("h2"), off("h2"), PROVEN),
        (silent("h2"), off("h2", "confirmed"), PROVEN),
        (silent("h2"), off("h2", boot=None), in_doubt("host/h2")),
        (silent("h2"), off("h2", boot="boot-0"), in_doubt("host/h2")),
        (silent("h2"), off("h2", numbers=range(4)), in_doubt("host/h2")),
        (silent("h2"), off("h3"), in_doubt("host/h2")),
        (unknown("h2"), off("h2"), in_doubt("host/h2")),
        (refused("h2"), off("h2"), in_doubt("host/h2")),
        (answer("h2", complete=False), off("h2"), in_doubt("host/h2")),
    ],
)
def test_a_proof_counts_only_for_a_host_that_stays_silent_and_for_the_runs_that_it_knows(
    host, proof, expected
):
    assert estate(open_run(4, "h2"), host, answer("h3"), proofs=[proof]) == expected


def test_whoever_answers_with_the_guest_runs_it_whatever_was_proven():
    assert estate(open_run(4, "h2"), answer("h2", guest("web")), proofs=[off("h2")])[0] == "running"


def test_a_host_that_nobody_knows_can_be_confirmed_off():
    run = open_run(4, "gone")
    assert estate(run, answer("h2"), answer("h3")) == in_doubt(f"host/{uid('gone')}")
    proof = replace(off("gone"), host=f"host/{uid('gone')}")
    assert estate(run, answer("h2"), answer("h3"), proofs=[proof]) == PROVEN


def test_a_proof_is_void_for_every_vm_once_any_record_shows_that_its_host_was_alive_later():
    old, new = record("web", open_run(4, "h2")), record("db", open_run(1, "h2", boot="boot-2"))
    hosts = [answer("h1"), silent("h2")]

    def web(*records, **given):
        return told(observe(hosts, [read("main", *records, pool=pool("h1", "h2"), **given)], [off("h2")]))

    assert web(old) == PROVEN
    assert web(old, new) == in_doubt("host/h2")
    assert web(unreadable=["web"]) == PROVEN
    assert web(new, unreadable=["web"]) == in_doubt("host/h2")


def test_runs_that_are_over_do_not_void_a_proof():
    copy = read("second", record("db", open_run(1, "h2", boot="boot-0")))
    for run in (closed_run(2, "h2"), open_run(2, "h1")):
        master = read(
            "main",
            record("web", open_run(4, "h2")),
            record("db", run),
            pool=pool("h1", "h2", domains=("main", "second")),
        )
        hosts = [answer("h1", domains=("main", "second")), silent("h2")]
        assert told(observe(hosts, [master, copy], [off("h2")])) == PROVEN


def test_evidence_names_the_boot_in_which_the_run_began_on_a_host_proven_off():
    master = read("main", record("web", open_run(4, "h2")), pool=pool("h1", "h2"))
    copy = read("second", record("web", open_run(4, "h2")))
    for storage in (
        [master],
        [replace(master, contents=replace(master.contents, vms=(), unreadable=(uid("web"),))), copy],
    ):
        seen = vm_of(observe([answer("h1", domains=("main", "second")), silent("h2")], storage, [off("h2")]))
        assert seen.evidence is not None
        assert {one.boot_id for one in seen.evidence.hosts if one.host == uid("h2")} == {uid("h2-boot-1")}


# No record on readable master and copies


@pytest.mark.parametrize(
    ("hosts", "basis", "doubts"),
    [
        ([answer("h1"), answer("h2")], "never-ran", ()),
        ([answer("h1"), silent("h2")], "never-ran", ()),
    ],
)
def test_a_vm_without_record_on_storage_that_was_read_never_ran(hosts, basis, doubts):
    seen = observe(hosts, [read("main", pool=pool("h1", "h2"))])
    assert seen.newcomer_evidence.basis == basis
    assert seen.newcomer_doubts == doubts
    assert seen.records_read


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ([answer("h2", guest("web"))], ("running", None, ())),
        ([answer("h2", guest("web", "incoming"))], in_doubt("host/h2")),
        ([answer("h2", processes=["web"])], in_doubt("host/h2")),
        ([silent("h2", state("h2", guest("web")))], in_doubt("host/h2")),
        ([silent("h2", state("h2", processes=["web"]))], in_doubt("host/h2")),
    ],
)
def test_a_vm_that_somebody_has_seen_did_run_even_without_a_record(hosts, expected):
    assert told(observe([answer("h1"), *hosts], [read("main", pool=pool("h1", "h2"))])) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [(answer("h2"), PROVEN), (silent("h2"), in_doubt("host/h2")), (refused("h2"), in_doubt("host/h2"))],
)
def test_a_vm_that_a_manifest_adopts_by_uuid_may_run_on_any_host(host, expected):
    declared = declare("h1", "h2", vms={"web": uid("web")})
    assert (
        told(observe([answer("h1"), host], [read("main", pool=pool("h1", "h2"))], declared=declared))
        == expected
    )


# The record cannot be read, or the VM was found without one: every host counts


@pytest.mark.parametrize(
    ("hosts", "ids", "expected"),
    [
        ([answer("h2"), answer("h3")], ("h1", "h2", "h3"), PROVEN),
        ([answer("h2"), silent("h3")], ("h1", "h2", "h3"), in_doubt("host/h3")),
        ([answer("h2"), silent("h3")], ("h1", "h2"), in_doubt("host/h3")),
        ([answer("h2"), answer("h3", complete=False)], ("h1", "h2", "h3"), in_doubt("host/h3")),
        ([answer("h2"), answer("h3")], ("h1", "h2", "h3", "gone"), in_doubt(f"host/{uid('gone')}")),
    ],
)
def test_an_unreadable_record_needs_every_host_with_a_host_id_and_every_declared_one(hosts, ids, expected):
    master = read("main", unreadable=["web"], pool=pool(*ids))
    assert told(observe([answer("h1"), *hosts], [master])) == expected


def test_a_host_that_only_a_copy_names_counts_where_the_masters_record_is_damaged():
    storage = [
        read("main", unreadable=["web"], pool=pool("h1", domains=("main", "second"))),
        read("second", record("web", open_run(2, "gone"))),
    ]
    assert told(observe([answer("h1", domains=("main", "second"))], storage)) == in_doubt(
        f"host/{uid('gone')}"
    )


def test_a_host_whose_manifest_is_gone_counts_until_it_is_proven_off():
    master = read("main", unreadable=["web"], pool=pool("h1", "gone"))
    proof = replace(off("gone"), host=f"host/{uid('gone')}")
    assert told(observe([answer("h1")], [master])) == in_doubt(f"host/{uid('gone')}")
    assert told(observe([answer("h1")], [master], [proof])) == PROVEN


def test_evidence_of_every_host_names_each_of_them():
    master = read("main", unreadable=["web"], pool=pool("h1", "h2"))
    seen = observe([answer("h1"), silent("h2")], [master], [off("h2", reference="f-9")])
    assert sorted((one.host, one.kind, one.reference) for one in vm_of(seen).evidence.hosts) == sorted(
        [(uid("h1"), "answered", ""), (uid("h2"), "fenced", "f-9")]
    )


@pytest.mark.parametrize(
    "storage",
    [
        [],
        [unread("main")],
        [read("main", record("web", closed_run(4, "h1")), reader="h2")],
        [read("main", record("web", closed_run(4, "h1")), pool=pool("h1", center=uid("elsewhere")))],
    ],
    ids=["no report", "not read", "its reader is silent", "another data center"],
)
def test_without_a_master_nothing_is_proven_for_anybody(storage):
    seen = observe(
        [answer("h1"), silent("h2")], storage, declared=declare("h1", "h2", vms={"web": uid("web")})
    )
    assert told(seen) == in_doubt("host/h2", "sd/main")
    assert seen.newcomer_evidence is None
    assert seen.newcomer_doubts == ("host/h2", "sd/main")
    assert not seen.records_read


def test_without_a_master_answers_of_all_declared_hosts_are_not_enough():
    """Who holds a host id stands on the master: there may be a host that nobody declares any more."""
    seen = observe([answer("h1"), answer("h2")], [unread("main")])
    assert seen.newcomer_evidence is None
    assert seen.newcomer_doubts == ("sd/main",)


def test_a_lost_store_does_not_start_the_vm_of_a_host_that_is_cut_off():
    """Storage and records are there; the controller knows nothing of its own; h2 runs the VM out of sight."""
    assert estate(open_run(4, "h2"), silent("h2"), answer("h3")) == in_doubt("host/h2")


def test_a_master_whose_pool_record_is_missing_beside_vm_records_proves_nothing_by_hosts():
    master = read("main", record("other"), unreadable=["web"])
    assert told(observe([answer("h1")], [master])) == in_doubt("sd/main")


# Orders that may start a guest at any moment


@pytest.mark.parametrize("kind", ["start-vm", "reboot-vm", "migrate-vm"])
@pytest.mark.parametrize("status", ["accepted", "running", "unknown"])
@pytest.mark.parametrize("run", [closed_run(4, "h2"), open_run(4, "h2")])
def test_an_open_order_that_may_start_the_vm_keeps_it_in_doubt(kind, status, run):
    busy = answer("h2", orders=(order("k", kind, "vm/web", status),))
    assert estate(run, busy) == in_doubt("host/h2")


@pytest.mark.parametrize(
    "host",
    [
        answer("h2", orders=(order("k", "start-vm", "vm/web", "succeeded"),)),
        answer("h2", orders=(order("k", "start-vm", "vm/web", "revoked"),)),
        answer("h2", orders=(order("k", "start-vm", "vm/other", "running"),)),
        answer("h2", orders=(order("k", "write-vm-record", "vm/web", "running"),)),
    ],
)
def test_other_orders_keep_nothing_in_doubt(host):
    assert estate(closed_run(4, "h2"), host) == CLOSED


def test_an_open_start_on_a_silent_host_counts_until_it_is_proven_off():
    last = state("h2", orders=(order("k", "start-vm", "vm/web", "running"),))
    assert estate(closed_run(4, "h2"), silent("h2", last)) == in_doubt("host/h2")
    assert estate(closed_run(4, "h2"), silent("h2", last), proofs=[off("h2")]) == CLOSED
