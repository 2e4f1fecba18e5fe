"""What is not known, said to people."""

import pytest

from reconciler.observing.gaps import find_gaps

from .estate import (
    answer,
    closed_run,
    declare,
    fresh,
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
    uid,
    unknown,
    unread,
)

DECLARED = declare("h1", "h2")
MASTER = pool("h1", "h2")


def gaps(hosts, storage=None, proofs=(), declared=DECLARED):
    storage = [read("main", pool=MASTER)] if storage is None else storage
    return find_gaps(declared, observe(hosts, storage, proofs, declared=declared))


def only(found):
    assert len(found) == 1, [str(one) for one in found]
    return found[0]


def test_an_estate_that_answers_in_full_has_no_gap():
    hosts = [answer("h1", guest("web"), guest("theirs", managed=False)), answer("h2")]
    assert gaps(hosts, [read("main", record("web", open_run(1, "h1")), pool=MASTER)]) == ()


def test_a_brand_new_data_center_has_no_gap():
    assert gaps([fresh("h1"), fresh("h2")], [unread("main")]) == ()


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (silent("h2"), ["silent for 90 s", "switch it off and confirm that"]),
        (unknown("h2"), ["has not answered yet", "wait"]),
        (refused("h2"), ["refuses (its certificate expired)", "alive"]),
        (answer("h2", complete=False), ["not with all its guests", "libvirtd"]),
    ],
)
def test_a_host_that_cannot_be_relied_on_is_named_with_what_it_keeps_back(host, words):
    vms = [record(f"web-{n}", open_run(1, "h2")) for n in range(5)]
    gap = only(gaps([answer("h1"), host], [read("main", *vms, pool=MASTER)]))
    assert gap.subject == "host/h2"
    assert "it is not known whether it runs vm/web-0, vm/web-1, vm/web-2 and 2 more" in str(gap)
    for word in words:
        assert word in str(gap)


def test_a_host_proven_off_is_no_gap():
    assert gaps([answer("h1"), silent("h2")], proofs=[off("h2")]) == ()


def test_a_host_of_another_data_center_is_named():
    gap = only(gaps([answer("h1"), fresh("h2", data_center=uid("elsewhere"))]))
    assert uid("elsewhere") in gap.summary


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        (unread("main"), "it was not read: no host is connected"),
        (read("main", complete=False, pool=MASTER), "not in full"),
    ],
)
def test_a_domain_that_was_not_read_is_named(domain, words):
    gap = only(gaps([answer("h1"), answer("h2")], [domain]))
    assert gap.subject == "sd/main"
    assert words in str(gap)
    assert "which records exist" in str(gap)


def test_two_masters_raise_an_alarm():
    found = gaps([answer("h1"), answer("h2")], [read("main", pool=MASTER), read("second", master=True)])
    assert found[0].alarm
    assert "more than one domain calls itself master" in found[0].summary


def test_a_damaged_record_raises_an_alarm_that_names_its_directory():
    gap = only(gaps([answer("h1"), answer("h2")], [read("main", unreadable=["web"], pool=MASTER)]))
    assert gap.alarm
    assert f"master/vms/{uid('web')}" in gap.action
    assert "no VM without a record is taken for new" in gap.keeps


def test_two_records_under_one_name_raise_an_alarm():
    twice = [record("web"), record("web-2", obj="vm/web", incarnation=2)]
    gap = only(gaps([answer("h1"), answer("h2")], [read("main", *twice, pool=MASTER)]))
    assert (gap.subject, gap.alarm) == ("vm/web", True)


def test_a_split_raises_the_loudest_alarm():
    hosts = [answer("h1", guest("web")), answer("h2", guest("web"))]
    gap = only(gaps(hosts, [read("main", record("web", open_run(1, "h1")), pool=MASTER)]))
    assert gap.alarm
    assert "runs on host/h1 and host/h2 at once: two writers" in str(gap)


def test_both_ends_of_an_open_migration_are_no_alarm():
    hosts = [answer("h1", guest("web", "paused")), answer("h2", guest("web"))]
    gap = only(gaps(hosts, [read("main", record("web", open_run(2, "h1", "h2")), pool=MASTER)]))
    assert not gap.alarm
    assert "handed over" in gap.summary


@pytest.mark.parametrize("run", [open_run(3, "h2"), closed_run(3, "h1"), None])
def test_a_guest_where_its_record_does_not_expect_it_is_named(run):
    hosts = [answer("h1", guest("web")), answer("h2")]
    gap = only(gaps(hosts, [read("main", record("web", run), pool=MASTER)]))
    assert "where its record does not expect it" in gap.summary
    assert gap.alarm == (run is not None)


def test_a_process_that_libvirt_does_not_list_raises_an_alarm():
    gap = only(
        gaps([answer("h1", processes=["web"]), answer("h2")], [read("main", record("web"), pool=MASTER)])
    )
    assert gap.alarm
    assert "host/h1" in gap.summary


def test_an_order_with_unknown_outcome_is_named():
    hosts = [answer("h1", orders=(order("k", "start-vm", "vm/web", "unknown"),)), answer("h2")]
    assert "nobody knows what became of order start-vm on host/h1" in only(gaps(hosts)).summary


def test_alarms_come_first():
    hosts = [answer("h1", processes=["web"]), silent("h2")]
    found = gaps(hosts, [read("main", unreadable=["db"], pool=MASTER)])
    assert [gap.alarm for gap in found] == sorted((gap.alarm for gap in found), reverse=True)
    assert len(found) == 3
