from dataclasses import replace

import pytest

from nodeagent.wire.version import Format
from reconciler.observing.freshness import judge_report, status_of, watch_ms

from .estate import answer, declare, observe, refused, silent, state, uid

GRACE = 30_000


@pytest.mark.parametrize(
    ("age_ms", "answered", "refused_last", "watched_ms", "status"),
    [
        (0, True, False, 0, "answering"),
        (GRACE, True, False, 10 * GRACE, "answering"),
        (GRACE + 1, True, False, 10 * GRACE, "silent"),
        (GRACE + 1, True, False, GRACE, "unknown"),
        (GRACE + 1, True, False, 0, "unknown"),
        (0, False, False, 0, "unknown"),
        (0, False, False, GRACE, "unknown"),
        (0, False, False, GRACE + 1, "silent"),
        (0, True, True, 10 * GRACE, "refused"),
        (10 * GRACE, False, True, 10 * GRACE, "refused"),
    ],
)
def test_a_host_is_silent_only_after_a_whole_grace_of_listening(
    age_ms, answered, refused_last, watched_ms, status
):
    assert status_of(age_ms, answered, refused_last, GRACE, watched_ms) == status


def test_a_restarted_controller_counts_nobody_as_silent_until_the_grace_ran_anew():
    watched, seen = 0, []
    for _ in range(8):
        watched = watch_ms(watched, 5_000, 5_000)
        seen.append(status_of(0, False, False, GRACE, watched))
    assert seen == ["unknown"] * 6 + ["silent"] * 2


@pytest.mark.parametrize(("late_ms", "watched_ms"), [(10_000, 110_000), (10_001, 0)])
def test_a_pass_later_than_twice_its_period_begins_the_watch_anew(late_ms, watched_ms):
    assert watch_ms(100_000, late_ms, 5_000) == watched_ms


def test_a_document_of_another_host_is_no_answer_of_this_one():
    stranger = replace(answer("h1"), state=state("h1", host_uuid=uid("h9")))
    status, detail, document = judge_report(stranger)
    assert (status, document) == ("refused", None)
    assert uid("h9") in detail


def test_facts_of_a_newer_format_are_refused_and_dropped():
    newer = replace(answer("h1"), state=replace(state("h1"), format=Format(2, 0)))
    status, detail, document = judge_report(newer)
    assert (status, document) == ("refused", None)
    assert "newer" in detail


def test_an_answer_without_a_document_is_unknown():
    assert judge_report(replace(answer("h1"), state=None))[0] == "unknown"


def test_a_host_reported_twice_differently_counts_as_refused():
    seen = observe([answer("h1", boot="a"), answer("h1", boot="b")])
    assert seen.hosts["host/h1"].status == "refused"
    assert not seen.hosts["host/h1"].answering


def test_the_same_report_twice_is_one_answer():
    one = answer("h1")
    assert observe([one, one]).hosts["host/h1"].answering


def test_a_declared_host_without_a_report_was_not_asked():
    seen = observe([answer("h1")], declared=declare("h1", "h2"))
    assert seen.hosts["host/h2"].status == "unknown"
    assert not seen.complete


@pytest.mark.parametrize("report", [silent("h2", state("h2")), refused("h2")])
def test_only_an_answering_host_is_relied_on(report):
    seen = observe([answer("h1"), report])
    assert not seen.hosts["host/h2"].answering


def test_a_host_without_a_manifest_is_named_by_its_uuid():
    seen = observe([answer("h1"), answer("h7")], declared=declare("h1"))
    assert list(seen.hosts) == sorted(["host/h1", f"host/{uid('h7')}"])
