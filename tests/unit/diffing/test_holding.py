"""What waits although nothing stands in its way, and what goes on all the same."""

from reconciler.diffing.holding import find_failing_restarts, hold_back, hold_everything
from reconciler.model.change import Blocked, Change, Changes, Deferred, Reason, Verb
from reconciler.model.desired import DataCenter, Desired, Meta
from reconciler.model.options import PassOptions, Retry

DESIRED = Desired(DataCenter(Meta("dc/farm", "farm", "d"), "58cfb470-02f3-03d7-0386-0000000003bc"))
EXIT = Change("vm/ha", Verb.RECORD_EXIT, (Reason("exit-not-recorded", "crashed"),), protective=True)
START = Change("vm/ha", Verb.START, (Reason("restart-on-failure", "crashed"),), protective=True)
STOP = Change("vm/web", Verb.STOP, (Reason("run-policy", "Stopped"),))
CLOSE = Change("host/h1", Verb.ENTER_MAINTENANCE, (Reason("maintenance"),))
CHANGES = Changes(changes=(EXIT, START, STOP, CLOSE))


def test_what_failed_too_often_is_given_up_but_for_restarts_hosts_and_storage() -> None:
    failing = {"vm/ha": "no space", "vm/web": "it hangs", "host/h1": "no", "vm/other": "unchanged"}

    held = [*hold_back(CHANGES, PassOptions(failing=failing))]

    assert [(one.object, "too often" in one.reason) for one in held] == [("vm/web", True)]
    assert [one.object for one in find_failing_restarts(CHANGES, failing)] == ["vm/ha", "host/h1"]


def test_what_failed_a_moment_ago_waits_for_its_next_attempt_whatever_it_is() -> None:
    retries = {"vm/ha": Retry(6, "no space", 61_200), "vm/web": Retry(1, "it hangs", 4_000)}

    held = [*hold_back(CHANGES, PassOptions(failing={"vm/ha": "no space"}, retries=retries))]

    assert held == [
        Deferred("vm/ha", "it failed 6 times in a row: no space", "its next attempt, in 1m2s"),
        Deferred("vm/web", "it failed: it hangs", "its next attempt, in 4s"),
    ]


def test_protective_work_goes_on_while_all_else_is_held() -> None:
    why = Blocked("dc/farm", "the manifests drop 30 managed objects", "look")

    kept = hold_everything(DESIRED, CHANGES, PassOptions(only_protective=why))

    assert kept is not None
    assert (kept.changes, kept.blocked) == ((EXIT, START), (why,))


def test_a_pause_holds_protective_work_too_and_says_so() -> None:
    why = Deferred("dc/farm", "the last pass failed", "soon")
    options = PassOptions(paused={"dc/farm": "moving house"}, only_protective=why)

    held = hold_everything(DESIRED, CHANGES, options)

    assert held is not None
    assert held.changes == ()
    assert (
        held.blocked[0].reason
        == "it is paused: moving house; nothing is planned, and vm/ha not started again"
    )


def test_without_holds_everything_is_planned() -> None:
    assert hold_everything(DESIRED, CHANGES, PassOptions()) is None
    assert [*hold_back(CHANGES, PassOptions())] == []
