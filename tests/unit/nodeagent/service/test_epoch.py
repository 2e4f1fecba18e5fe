import pytest
from enginebench import BOOT, DATA_CENTER, HOLDER, Bench

from nodeagent.epoch import LONGEST_LEASE_MS
from nodeagent.errors import RefusedError
from nodeagent.wire.orders import Resync

OTHER = "laptop"


@pytest.fixture
def fresh(tmp_path):
    bench = Bench(tmp_path, ready=False)
    yield bench
    bench.close()


def reason_of(call):
    with pytest.raises(RefusedError) as caught:
        call()
    return caught.value.refusal.reason


def test_a_lease_tells_its_time_boot_and_ledger(fresh):
    grant = fresh.take_lease(epoch=4)

    assert (grant.epoch, grant.holder, grant.remaining_ms) == (4, HOLDER, 30_000)
    assert (grant.boot_id, grant.ledger_id) == (BOOT, fresh.ledger.id)


def test_another_holder_waits_until_the_lease_lapses(fresh):
    fresh.take_lease(epoch=1)
    assert reason_of(lambda: fresh.take_lease(epoch=2, holder=OTHER)) == "held"

    fresh.offset_ms += 30_001

    assert fresh.take_lease(epoch=2, holder=OTHER).holder == OTHER


def test_a_takeover_ends_another_holders_lease_but_needs_a_higher_epoch(fresh):
    fresh.take_lease(epoch=5)

    assert reason_of(lambda: fresh.take_lease(epoch=5, holder=OTHER, takeover=True)) == "stale-epoch"
    fresh.take_lease(epoch=6, holder=OTHER, takeover=True)
    assert reason_of(lambda: fresh.take_lease(epoch=5)) == "held"
    assert reason_of(lambda: fresh.tenure.refuse(HOLDER, 5)) == "stale-epoch"


def test_a_lower_epoch_is_refused_also_after_a_restart(fresh):
    fresh.take_lease(epoch=5)
    fresh.restart()
    fresh.offset_ms += 30_001

    assert reason_of(lambda: fresh.take_lease(epoch=4)) == "stale-epoch"
    assert reason_of(lambda: fresh.tenure.refuse(HOLDER, 4)) == "stale-epoch"


def test_after_a_restart_others_wait_and_the_holder_must_renew(fresh):
    fresh.take_lease(epoch=5)
    fresh.restart()

    assert reason_of(lambda: fresh.take_lease(epoch=6, holder=OTHER)) == "held"
    assert reason_of(lambda: fresh.tenure.refuse(HOLDER, 5)) == "no-lease"
    fresh.take_lease(epoch=5)
    fresh.tenure.refuse(HOLDER, 5)


def test_a_lapsed_lease_orders_nothing_until_it_is_renewed(fresh):
    fresh.take_lease(epoch=1)
    fresh.offset_ms += 30_001

    assert reason_of(lambda: fresh.tenure.refuse(HOLDER, 1)) == "no-lease"
    assert fresh.tenure.facts().holder == ""
    fresh.take_lease(epoch=1)
    fresh.tenure.refuse(HOLDER, 1)


def test_a_lease_of_no_time_gives_it_up(fresh):
    fresh.take_lease(epoch=1)
    fresh.take_lease(epoch=1, duration_ms=0)

    assert reason_of(lambda: fresh.tenure.refuse(HOLDER, 1)) == "no-lease"
    assert fresh.take_lease(epoch=2, holder=OTHER).holder == OTHER


def test_nobody_holds_a_host_for_longer_than_the_longest_lease(fresh):
    assert fresh.take_lease(duration_ms=2**40).remaining_ms == LONGEST_LEASE_MS


def test_an_epoch_ahead_of_the_lease_is_no_lease(fresh):
    fresh.take_lease(epoch=1)

    assert reason_of(lambda: fresh.tenure.refuse(HOLDER, 2)) == "no-lease"


def test_renewing_writes_nothing(fresh):
    fresh.take_lease(epoch=1)
    before = fresh.ledger._database.total_changes

    fresh.take_lease(epoch=1)

    assert fresh.ledger._database.total_changes == before


def test_a_new_ledger_asks_for_a_resync_once(fresh):
    assert fresh.tenure.resync_needed
    fresh.resync(epoch=3)
    assert not fresh.tenure.resync_needed
    fresh.restart()

    assert not fresh.tenure.resync_needed
    assert reason_of(lambda: fresh.take_lease(epoch=2)) == "stale-epoch"


def test_a_resync_of_another_ledger_or_of_an_old_epoch_is_refused(fresh):
    fresh.take_lease(epoch=3)
    stranger = Resync(DATA_CENTER, HOLDER, 4, "99999999-0000-4000-8000-000000000001")

    assert reason_of(lambda: fresh.tenure.resync(stranger)) == "other-ledger"
    assert reason_of(lambda: fresh.resync(epoch=2)) == "stale-epoch"
    assert reason_of(lambda: fresh.resync(epoch=4, holder=OTHER)) in {"held", "no-lease"}
    assert fresh.tenure.resync_needed


def test_the_first_resync_claims_the_host_for_its_data_center(fresh):
    fresh.resync()
    fresh.data_center = "dcdcdcdc-0000-4000-8000-000000000009"

    assert reason_of(lambda: fresh.take_lease(epoch=9)) == "other-data-center"


def test_a_lease_needs_a_name_and_an_epoch(fresh):
    assert reason_of(lambda: fresh.take_lease(epoch=0)) == "invalid"
    assert reason_of(lambda: fresh.take_lease(holder="")) == "invalid"
