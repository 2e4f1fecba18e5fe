"""Before any storage exists there are no records: then only the hosts can say that nothing ran."""

import pytest

from .estate import (
    answer,
    declare,
    fresh,
    guest,
    observe,
    pool,
    read,
    refused,
    silent,
    told,
    uid,
    unknown,
    unread,
)

DECLARED = declare("h1", "h2", vms={"web": None})
UNREAD = (unread("main"),)


def first(*hosts, storage=UNREAD):
    return observe(hosts, storage, declared=DECLARED)


def test_in_a_brand_new_data_center_every_host_says_that_no_vm_ran():
    seen = first(fresh("h1"), fresh("h2"))
    evidence = seen.newcomer_evidence
    assert evidence.basis == "hosts"
    assert sorted((one.host, one.kind) for one in evidence.hosts) == sorted(
        (uid(h), "answered") for h in ("h1", "h2")
    )
    assert seen.records_read
    assert seen.complete
    assert seen.master is None


def test_hosts_that_were_bound_to_the_data_center_before_its_first_domain_change_nothing():
    seen = first(fresh("h1", data_center=uid("dc")), fresh("h2"), storage=())
    assert seen.newcomer_evidence.basis == "hosts"


@pytest.mark.parametrize("host", [silent("h2"), refused("h2"), unknown("h2"), fresh("h2", complete=False)])
def test_a_declared_host_that_does_not_answer_in_full_may_run_everything(host):
    seen = first(fresh("h1"), host)
    assert seen.newcomer_evidence is None
    assert seen.newcomer_doubts == ("host/h2", "sd/main")
    assert not seen.records_read


@pytest.mark.parametrize(
    "host",
    [fresh("h2", host_id=2), fresh("h2", data_center=uid("elsewhere")), answer("h2", host_id=None)],
    ids=["has a host id", "belongs elsewhere", "is connected to storage"],
)
def test_a_host_that_has_had_storage_shows_that_the_data_center_is_not_new(host):
    seen = first(fresh("h1"), host)
    assert seen.newcomer_evidence is None
    assert "sd/main" in seen.newcomer_doubts


def test_a_domain_that_somebody_could_reach_but_not_read_is_not_new():
    assert (
        first(fresh("h1"), fresh("h2"), storage=[unread("main", reader="host/h1")]).newcomer_evidence is None
    )


def test_without_any_host_nothing_is_known():
    assert observe(declared=declare(vms={"web": None})).newcomer_evidence is None


def test_a_stranger_that_runs_there_is_seen_and_does_not_hold_up_the_rest():
    seen = first(fresh("h1", guest("old", managed=False)), fresh("h2"))
    assert told(seen, "old") == ("running", None, ())
    assert seen.newcomer_evidence.basis == "hosts"


def test_a_master_just_made_without_pool_record_knows_that_nothing_ran():
    seen = observe([answer("h1"), fresh("h2")], [read("main")], declared=DECLARED)
    assert seen.newcomer_evidence.basis == "never-ran"


def test_with_the_first_records_on_storage_a_silent_host_keeps_back_nothing_new():
    seen = observe([answer("h1"), silent("h2")], [read("main", pool=pool("h1"))], declared=DECLARED)
    assert seen.newcomer_evidence.basis == "never-ran"
