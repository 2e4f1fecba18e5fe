import json
import threading
from dataclasses import replace

import pytest
from enginebench import BOOT, HOST, VM, Bench, encode, until

from nodeagent.admission import LookError
from nodeagent.drivers.libvirt_errors import NotAnsweringError
from nodeagent.errors import RefusedError
from nodeagent.operations.contract import OperationError
from nodeagent.wire.arguments import ResumeVm, SetMaintenance, StartVm
from nodeagent.wire.codec import order_digest
from nodeagent.wire.guest import CpuConfig, GuestConfig, MemoryConfig
from nodeagent.wire.orders import Deadline, Evidence, Expectation, HostEvidence, Revocation
from nodeagent.wire.version import Format

OTHER_HOST = "cafecafe-0000-4000-8000-000000000002"
OTHER_BOOT = "b0b0b0b0-0000-4000-8000-000000000002"
UNKNOWN = "99999999-0000-4000-8000-000000000001"


def reason_of(call):
    with pytest.raises(RefusedError) as caught:
        call()
    return caught.value.refusal.reason


def refuses(bench, order):
    reason = reason_of(lambda: bench.engine.submit(order))
    assert bench.ledger.find(order.key) is None
    assert bench.world.count() == 0
    return reason


def revocation(key, cancel=False, epoch=1, holder="controller-1"):
    return Revocation(key, holder, epoch, cancel)


def with_arguments(order, arguments):
    digest = order_digest(order.kind, order.object, arguments, order.expects, order.secret_digests)
    return replace(order, arguments=arguments, digest=digest)


# --- the ordinary way


def test_a_short_order_is_answered_with_its_durable_result(bench):
    result = bench.engine.submit(bench.order())

    assert (result.state, result.outputs) == ("succeeded", {"effects": 1})
    assert bench.ledger.find("apply/1").result == result
    assert result.generation == bench.facts.generation


def test_a_known_key_is_answered_with_its_first_result_also_without_a_lease(bench):
    first = bench.engine.submit(bench.order())
    bench.offset_ms += 120_000

    assert bench.engine.submit(bench.order()) == first
    bench.restart()
    assert bench.engine.submit(bench.order()) == first
    assert bench.world.count() == 1


def test_a_known_key_with_another_content_is_refused(bench):
    bench.engine.submit(bench.order())

    assert reason_of(lambda: bench.engine.submit(bench.order(ResumeVm(VM)))) == "key-reused"


def test_a_long_order_is_followed_with_its_progress(bench):
    bench.world.go.clear()
    taken = bench.engine.submit(bench.order())
    assert taken.state in ("accepted", "running")
    bench.world.go.set()

    assert bench.wait().state == "succeeded"


def test_nobody_knows_a_key_that_was_never_taken(bench):
    assert bench.engine.follow("apply/never", 0) is None


def test_many_threads_with_one_key_cause_one_effect_and_get_one_answer(bench):
    order, answers, gate = bench.order(), [], threading.Barrier(8)

    def send():
        gate.wait()
        answers.append(bench.engine.submit(order))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(answers) == 8
    assert {answer.state for answer in answers} == {"succeeded"}
    assert bench.world.count() == 1


def test_when_one_key_is_refused_while_it_comes_twice_both_are_refused(bench):
    bench.world.objection = "not now"
    order, reasons, gate = bench.order(), [], threading.Barrier(2)

    def send():
        gate.wait()
        reasons.append(reason_of(lambda: bench.engine.submit(order)))

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert reasons == ["invalid", "invalid"]


# --- refusals, each without an effect and without a trace


def test_orders_of_unknown_kind_wrong_shape_or_wrong_digest_are_refused(bench):
    assert refuses(bench, bench.order(kind="reformat-host")) == "unsupported"
    assert refuses(bench, bench.order(format=Format(2, 0))) == "unsupported"
    assert refuses(bench, with_arguments(bench.order(), {"vm": VM, "harder": True})) == "invalid"
    assert refuses(bench, with_arguments(bench.order(), {"vm": "../etc"})) == "invalid"
    assert refuses(bench, bench.order(digest="0" * 64)) == "invalid"
    assert refuses(bench, bench.order(timeout_ms=0)) == "invalid"


def test_orders_of_another_data_center_or_ledger_are_refused(bench):
    assert refuses(bench, bench.order(data_center=UNKNOWN)) == "other-data-center"
    assert refuses(bench, replace(bench.order(), ledger_id=UNKNOWN)) == "other-ledger"


def test_orders_without_lease_or_with_an_old_epoch_are_refused(bench):
    assert refuses(bench, bench.order(holder="laptop")) == "held"
    bench.take_lease(epoch=2)
    assert refuses(bench, bench.order()) == "stale-epoch"
    bench.offset_ms += 30_001
    assert refuses(bench, bench.order(epoch=2)) == "no-lease"


def test_late_orders_and_orders_of_an_earlier_boot_are_refused(bench):
    now = bench.clock()
    assert refuses(bench, bench.order(deadline=Deadline(BOOT, now - 1))) == "late"
    assert refuses(bench, bench.order(deadline=Deadline(OTHER_BOOT, now + 60_000))) == "late"
    assert refuses(bench, bench.order(deadline=Deadline(BOOT, now + 25 * 3600 * 1000))) == "invalid"


def test_a_new_ledger_takes_no_order(tmp_path):
    bench = Bench(tmp_path, ready=False)
    bench.take_lease()

    assert refuses(bench, bench.order()) == "resync-needed"
    bench.resync()
    assert bench.engine.submit(bench.order()).state == "succeeded"
    bench.close()


def test_what_the_operation_objects_to_is_refused(bench):
    bench.world.objection = "a guest is plugged into it"

    assert refuses(bench, bench.order()) == "invalid"


def test_a_second_order_on_one_object_is_refused_while_the_first_is_open(bench):
    bench.world.go.clear()
    bench.engine.submit(bench.order())

    assert reason_of(lambda: bench.engine.submit(bench.order(key="apply/2"))) == "busy"
    assert bench.engine.submit(bench.order(key="apply/3", object="vm/web-2")).state == "running"


def test_no_guest_starts_while_the_host_is_being_closed(bench):
    bench.world.go.clear()
    bench.engine.submit(bench.order(SetMaintenance(True), object="host/h1"))

    assert reason_of(lambda: bench.engine.submit(start_order(bench, key="apply/2"))) == "busy"


def test_a_holder_that_loses_its_lease_while_its_order_is_judged_is_refused(bench):
    def take_over(_subject):
        bench.take_lease(epoch=2, holder="laptop", takeover=True)
        return {"maintenance": False}

    bench.engine._look = lambda _arguments: take_over

    assert refuses(bench, bench.order(expects=(Expectation("host", "maintenance", False),))) == "stale-epoch"


# --- expectations


@pytest.mark.parametrize(
    ("subject", "field", "value", "met"),
    [
        ("guest/a", "state", "running", True),
        ("guest/a", "state", "paused", False),
        ("guest/a", "present", True, True),
        ("guest/a", "present", False, False),
        ("guest/none", "present", False, True),
        ("guest/none", "state", "running", False),
        ("guest/none", "state", None, False),
        ("guest/a", "config.memory.current_bytes", 1024, True),
        ("guest/a", "config.memory.current_bytes", True, False),
        ("guest/a", "managed", 1, False),
        ("guest/a", "config.nics.1.link", "down", True),
        ("guest/a", "config.nics.7.link", "down", False),
        ("guest/a", "config.nics", "x", False),
        ("guest/a", "pause_reason", None, True),
        ("guest/a", "no_such", None, False),
        ("planet/mars", "present", False, False),
        ("record/broken", "present", False, False),
    ],
)
def test_an_order_is_taken_only_if_what_it_expects_holds(bench, subject, field, value, met):
    bench.world.subjects = {
        "guest/a": {
            "state": "running",
            "managed": True,
            "pause_reason": None,
            "config": {"memory": {"current_bytes": 1024}, "nics": [{"link": "up"}, {"link": "down"}]},
        },
        "guest/none": None,
        "record/broken": LookError("damaged"),
    }
    order = bench.order(expects=(Expectation(subject, field, value),))

    if met:
        assert bench.engine.submit(order).state == "succeeded"
    else:
        assert refuses(bench, order) == "stale-expects"


# --- evidence


def start_order(bench, evidence=None, key="apply/1"):
    config = GuestConfig(
        uuid=VM,
        object="vm/web-1",
        data_center="dcdcdcdc-0000-4000-8000-000000000001",
        title="web-1",
        run=3,
        machine="pc-q35-7.2",
        cpu=CpuConfig("qemu64", 1, 1, 1, 1),
        memory=MemoryConfig(1 << 28, 1 << 28, 1 << 28),
    )
    return bench.order(StartVm("aaaaaaaa-0000-4000-8000-000000000001", config), key=key, evidence=evidence)


def open_run(*hosts, number=2):
    return {"run": {"number": number, "closed": None, "hosts": [{"uuid": h, "boot_id": b} for h, b in hosts]}}


CLOSED = {"run": {"number": 2, "closed": "shutdown", "hosts": []}}
ABSENT = {"absent": True, "reason": ""}
HERE_RUN = (HOST, BOOT)
THERE = (OTHER_HOST, OTHER_BOOT)
GONE = HostEvidence(OTHER_HOST, "answered", OTHER_BOOT, 7)
CONFIRMED_ONCE = HostEvidence(OTHER_HOST, "confirmed", None)


@pytest.mark.parametrize(
    ("evidence", "record", "absence", "taken"),
    [
        (None, CLOSED, ABSENT, False),
        (Evidence("here"), CLOSED, ABSENT, False),
        (Evidence("closed", 2), CLOSED, ABSENT, True),
        (Evidence("closed", 1), CLOSED, ABSENT, False),
        (Evidence("closed", 2), open_run(THERE), ABSENT, False),
        (Evidence("closed", 2), None, ABSENT, False),
        (Evidence("closed", 2), LookError("unreadable"), ABSENT, False),
        (Evidence("closed", 2), CLOSED, {"absent": False, "reason": "libvirt lists it"}, False),
        (Evidence("closed", 2), CLOSED, LookError("libvirt is silent"), False),
        (Evidence("closed", 0), {"run": None}, ABSENT, True),
        (Evidence("closed", 0), CLOSED, ABSENT, False),
        (Evidence("hosts", 0, (GONE,)), None, ABSENT, True),
        (Evidence("hosts", 2, (GONE,)), CLOSED, ABSENT, True),
        (Evidence("hosts", 1, (GONE,)), CLOSED, ABSENT, False),
        (Evidence("never-ran"), None, ABSENT, True),
        (Evidence("never-ran"), {"run": None}, ABSENT, True),
        (Evidence("never-ran"), CLOSED, ABSENT, False),
        (Evidence("hosts", 2, (GONE,)), open_run(THERE), ABSENT, True),
        (Evidence("hosts", 2, (GONE,)), open_run(HERE_RUN, THERE), ABSENT, True),
        (Evidence("hosts", 2, ()), open_run(THERE), ABSENT, False),
        (Evidence("hosts", 1, (GONE,)), open_run(THERE), ABSENT, False),
        (Evidence("hosts", 2, (GONE,)), open_run(THERE), {"absent": False, "reason": "a process"}, False),
        (Evidence("hosts", 2, (replace(GONE, kind="boot-changed"),)), open_run(THERE), ABSENT, False),
        (
            Evidence("hosts", 2, (replace(GONE, kind="boot-changed", boot_id=BOOT),)),
            open_run(THERE),
            ABSENT,
            True,
        ),
        (Evidence("hosts", 2, (replace(GONE, kind="fenced"),)), open_run(THERE), ABSENT, True),
        (Evidence("hosts", 2, (replace(GONE, kind="confirmed"),)), open_run(THERE), ABSENT, True),
        (Evidence("hosts", 2, (CONFIRMED_ONCE,)), open_run(THERE), ABSENT, False),
        (Evidence("hosts", 2, (replace(CONFIRMED_ONCE, boot_id=BOOT),)), open_run(THERE), ABSENT, False),
    ],
)
def test_a_guest_is_started_only_if_its_evidence_still_holds(bench, evidence, record, absence, taken):
    bench.world.subjects = {f"record/{VM}": record, f"absence/{VM}": absence}

    if taken:
        assert bench.engine.submit(start_order(bench, evidence)).state == "succeeded"
    else:
        assert refuses(bench, start_order(bench, evidence)) == "evidence"


def test_work_on_a_guest_that_should_run_here_is_refused_without_it(bench):
    bench.world.subjects = {f"guest/{VM}": None}

    assert refuses(bench, bench.order(evidence=Evidence("here"))) == "evidence"


# --- outcomes


def test_an_operation_that_fails_says_who_must_act(bench):
    bench.world.error = OperationError("no space left", "free space on the domain")

    result = bench.engine.submit(bench.order())

    assert (result.state, result.summary, result.action) == (
        "failed",
        "no space left",
        "free space on the domain",
    )


def test_an_operation_that_cannot_tell_its_outcome_leaves_it_unknown(bench):
    bench.world.error = OperationError("libvirt did not answer", settled=False)

    assert bench.engine.submit(bench.order()).state == "unknown"


def test_a_guest_that_did_not_answer_may_still_do_what_it_was_asked(bench):
    bench.world.error = NotAnsweringError("cannot shut down guest x", "look at it")
    result = bench.engine.submit(bench.order())

    assert (result.state, result.action) == ("unknown", "look at it")
    assert "may still take effect" in result.summary


def test_an_error_that_nobody_foresaw_is_logged_and_unknown(bench, caplog):
    bench.world.error = ZeroDivisionError("a bug")

    assert bench.engine.submit(bench.order()).state == "unknown"
    assert "ZeroDivisionError" in caplog.text


def test_an_effect_that_is_not_there_when_read_back_is_a_failure(bench):
    bench.world.difference = "the link is still up"

    result = bench.engine.submit(bench.order())

    assert result.state == "failed"
    assert "the link is still up" in result.summary


def test_an_order_whose_time_is_over_is_cancelled(bench):
    bench.world.go.clear()
    bench.engine.submit(bench.order(timeout_ms=5_000))
    bench.offset_ms += 5_001
    bench.world.go.set()

    assert bench.wait().state == "failed"
    assert bench.world.count() == 0


# --- revocation


def test_a_key_that_never_came_is_refused_once_it_was_revoked_also_after_a_restart(bench):
    assert bench.engine.revoke(revocation("apply/1")).state == "revoked"

    assert reason_of(lambda: bench.engine.submit(bench.order())) == "revoked"
    bench.restart()
    bench.take_lease()
    assert reason_of(lambda: bench.engine.submit(bench.order())) == "revoked"
    assert bench.world.count() == 0


def test_a_revocation_tells_the_result_of_what_has_ended(bench):
    first = bench.engine.submit(bench.order())

    assert bench.engine.revoke(revocation("apply/1")) == first


def test_a_running_order_is_named_and_cancelled_only_if_asked(bench):
    bench.world.go.clear()
    bench.engine.submit(bench.order())
    until(bench.world.began.exists)

    assert bench.engine.revoke(revocation("apply/1")).state == "running"
    assert bench.engine.revoke(revocation("apply/1", cancel=True)).state == "running"
    bench.world.go.set()
    assert (bench.wait().state, bench.wait().summary) == ("failed", "cancelled")


def test_an_order_that_waits_for_a_thread_is_withdrawn(tmp_path):
    bench = Bench(tmp_path, threads=1)
    bench.world.go.clear()
    bench.engine.submit(bench.order())
    bench.engine.submit(bench.order(key="apply/2", object="vm/web-2"))

    assert bench.engine.revoke(revocation("apply/2")).state == "revoked"
    bench.world.go.set()
    assert bench.wait("apply/1").state == "succeeded"
    assert bench.wait("apply/2").state == "revoked"
    bench.close()
    assert bench.world.count() == 1


def test_an_unknown_result_is_settled_by_its_revocation(bench):
    bench.world.error = OperationError("lost sight of it", settled=False)
    bench.engine.submit(bench.order())

    result = bench.engine.revoke(revocation("apply/1"))

    assert result.state == "revoked"
    assert "lost sight of it" in result.summary
    assert [facts.state for facts in bench.ledger.order_facts()] == ["revoked"]


def test_only_the_holder_of_the_lease_revokes(bench):
    assert reason_of(lambda: bench.engine.revoke(revocation("apply/1", holder="laptop"))) == "held"
    assert reason_of(lambda: bench.engine.revoke(revocation("apply/1", epoch=0))) == "stale-epoch"


def test_results_are_plain_json_in_the_ledger(bench):
    result = bench.engine.submit(bench.order())

    assert json.loads(encode(result))["state"] == "succeeded"
