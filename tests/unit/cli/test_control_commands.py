"""`ostler pause`, `resume`, `cancel`, `retry`, `takeover`, `history`, `completion`."""

import shutil
import subprocess

import pytest

from reconciler.cli.get import KINDS
from reconciler.execution.remembering import MOST_FAILURES
from tests.unit.cli.conftest import Desk


def test_nothing_is_planned_for_a_paused_vm(applied: Desk) -> None:
    applied.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Stopped\n")
    assert applied("pause", "vm/web-1", "--reason", "a backup runs").status == 0

    result = applied("plan", "-f")

    assert result.status == 3
    assert "paused: a backup runs" in result.out
    assert applied("apply", "-f", "--yes").status == 3
    assert applied.where("vm/web-1") is not None


def test_a_resumed_vm_is_planned_again(applied: Desk) -> None:
    applied.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Stopped\n")
    applied("pause", "vm/web-1")

    assert applied("resume", "vm/web-1").status == 0
    assert applied("apply", "-f", "--yes").status == 0
    assert applied.where("vm/web-1") is None


@pytest.mark.parametrize("scope", [("--all",), ("dc/farm",)])
def test_nothing_at_all_is_planned_while_everything_is_paused(desk: Desk, scope: tuple[str, ...]) -> None:
    assert desk("pause", *scope, "--reason", "moving house").status == 0

    result = desk("apply", "-f", "--yes")

    assert result.status == 3
    assert "moving house" in result.out
    assert not desk.world.storage
    assert desk("resume", *scope).status == 0
    assert desk("apply", "-f", "--yes").status == 0


def test_what_is_paused_and_is_as_declared_is_no_matter(applied: Desk) -> None:
    applied("pause", "--all")

    assert applied("plan", "-f").status == 0


def test_pauses_are_listed(desk: Desk) -> None:
    desk("pause", "vm/web-1", "--reason", "why not")
    desk("pause", "--all")

    result = desk("pause")

    assert "why not" in result.out
    assert "everything" in result.out


def test_what_no_manifest_declares_is_not_paused_but_what_was_meant_is_offered(desk: Desk) -> None:
    refused = desk("pause", "vm/wbe-1", "-f")

    assert (refused.status, "did you mean vm/web-1?" in refused.err) == (1, True)
    assert "vm/wbe-1" not in desk("pause").out
    assert desk("pause", "vm/web-1", "-f").status == 0


def test_a_pause_of_what_nobody_has_heard_of_is_said_to_be_one(applied: Desk) -> None:
    unheard, heard = applied("pause", "vm/wbe-1"), applied("pause", "vm/web-1")

    assert (unheard.status, "did you mean vm/web-1?" in unheard.err) == (0, True)
    assert (heard.status, "warning" in heard.err) == (0, False)


def test_what_is_not_paused_cannot_be_resumed(desk: Desk) -> None:
    assert desk("resume", "vm/web-1").status == 1


def test_an_object_that_keeps_failing_is_left_alone_until_retry(applied: Desk) -> None:
    applied("vm", "stop", "web-1", "-f", "--yes", "--no-wait")
    host = applied.world.hosts[str(applied.where("vm/web-1"))]
    applied.faults.failing = {(host.id, "stop-vm"): MOST_FAILURES}
    for _ in range(MOST_FAILURES):
        assert applied("apply", "-f", "--yes").status == 4

    result = applied("apply", "-f", "--yes")

    assert result.status == 3
    assert "ostler retry vm/web-1" in result.out
    assert host.guests
    assert applied("retry", "vm/web-1").status == 0
    assert applied("apply", "-f", "--yes").status == 0
    assert not host.guests


def test_retry_of_what_never_failed_is_told(desk: Desk) -> None:
    assert desk("retry", "vm/web-1").status == 1


def test_without_a_running_apply_there_is_nothing_to_cancel(desk: Desk) -> None:
    assert desk("cancel").status == 1
    assert desk("cancel", "nonsense").status == 1


def test_a_cancelled_apply_is_asked_to_stop(desk: Desk) -> None:
    store = desk.store()
    store.applies.admit("a1", "p1", "d1", "u1", "{}")

    result = desk("cancel", "--reason", "wrong manifests")

    assert result.status == 0
    assert "wrong manifests" in store.applies.stop_requested("a1")
    store.close()


def test_takeover_ends_the_lease_of_another_applier(applied: Desk) -> None:
    for host in applied.world.hosts.values():
        host.holder, host.epoch, host.lease_until_ms = "ostler@elsewhere", 7, 60_000
    applied.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Stopped\n")
    assert applied("apply", "-f", "--yes").status == 5

    refused = applied("takeover", "-f")
    assert (refused.status, "ostler@elsewhere" in refused.out) == (5, True)
    assert applied("takeover", "-f", "--yes").status == 0

    assert applied("apply", "-f", "--yes").status == 0
    assert applied.where("vm/web-1") is None


def test_two_stores_in_one_home_are_two_appliers(applied: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for host in applied.world.hosts.values():
        host.lease_until_ms = applied.world.now_ms + 60_000  # the first store's apply goes on
    applied.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Stopped\n")
    monkeypatch.setenv("OSTLER_STORE", str(applied.home / "other.sqlite"))

    assert applied("apply", "-f", "--yes").status == 5
    assert applied("vm", "pause", "vm/web-1", "-f", "--yes").status == 5
    assert applied("run", "-f", "--once").status == 5
    asked = applied("takeover", "-f")
    assert (asked.status, str(applied.home / "store.sqlite") in asked.out) == (5, True)
    assert applied.where("vm/web-1") is not None
    assert applied("takeover", "-f", "--yes").status == 0

    assert applied("apply", "-f", "--yes").status == 0
    assert applied.where("vm/web-1") is None


def test_an_applier_is_the_same_over_restarts_of_its_store(applied: Desk) -> None:
    for host in applied.world.hosts.values():
        host.lease_until_ms = applied.world.now_ms + 60_000  # its apply was killed
    applied.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Stopped\n")

    assert applied("takeover", "-f").status == 0, "nobody else has a lease"
    assert applied("apply", "-f", "--yes").status == 0


def test_without_another_applier_takeover_has_nothing_to_do(applied: Desk) -> None:
    assert applied("takeover", "-f", "--yes").status == 0


def test_history_tells_of_applies_of_their_steps_and_of_objects(applied: Desk) -> None:
    listed = applied("history", "-o", "json")
    apply_id = applied("history", "-o", "name").out.split()[0]

    assert (listed.status, "achieved" in listed.out) == (0, True)
    assert "vm/web-1#start" in applied("history", apply_id).out
    assert "StartVm" in applied("history", "vm/web-1").out
    assert applied("history", "vm/unheard-of").status == 1


def test_history_before_the_first_apply_is_told(desk: Desk) -> None:
    assert desk("history").status == 1


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("vm", "st"), ["start", "stop"]),
        (("get", ""), list(KINDS)),
        (("get", "cl"), ["clusters"]),
        (("get", "vms", ""), []),
        (("get", "vms", "--ou"), ["--output"]),
        (("get", "--ou"), ["--output"]),
        (("plan", "-f", ""), []),
        (("completion", ""), ["bash", "zsh", "fish"]),
    ],
    ids=" ".join,
)
def test_bash_completes_words_first_and_options_where_one_is_begun(
    desk: Desk, words: tuple[str, ...], offered: list[str]
) -> None:
    script = desk("completion", "bash").out
    typed = " ".join(f"'{word}'" for word in ("ostler", *words))
    ask = f'COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _ostler; echo "${{COMPREPLY[@]}}"'
    bash = shutil.which("bash")
    assert bash is not None

    done = subprocess.run([bash, "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)

    assert done.stdout.split() == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_with_every_command(desk: Desk, shell: str) -> None:
    result = desk("completion", shell)

    assert result.status == 0
    assert all(word in result.out for word in ("takeover", "migrate", "data-center"))


def test_a_restart_that_keeps_failing_is_not_given_up_and_stands_in_every_list(applied: Desk) -> None:
    guest = applied.guest("vm/web-1").config
    applied.world.hosts[str(applied.where("vm/web-1"))].lose_guest(guest.uuid, "crashed")
    applied.faults.failing = {(host, "start-vm"): MOST_FAILURES for host in applied.world.hosts}
    for _ in range(MOST_FAILURES):
        assert applied("apply", "-f", "--yes").status == 4

    planned = applied("plan", "-f")

    assert planned.status == 2, "the sixth attempt is planned like the first"
    assert "its restart keeps failing: start-vm fails by script" in planned.out
    assert "its restart keeps failing" in applied("get", "vms", "-f").out
    assert "Alert" in applied("history", "vm/web-1").out
    applied.faults.failing.clear()
    assert applied("apply", "-f", "--yes").status == 0
    assert "failing" not in applied("get", "vms", "-f").out


def serve_another(desk: Desk, name: str = "dc/annex") -> None:
    """The store has served another data center as well."""
    store = desk.store()
    store.centers.note(ANNEX, name)
    store.close()


ANNEX = "99999999-470a-4f03-8386-000000000000"


def test_where_a_store_serves_several_data_centers_it_is_asked_which_one_is_meant(applied: Desk) -> None:
    serve_another(applied)

    asked = applied("pause", "vm/web-1")
    assert asked.status == 64
    assert "dc/annex" in asked.err
    assert "dc/farm" in asked.err
    assert applied("pause", "vm/web-1", "--data-center", "nowhere").status == 64
    assert applied("pause", "vm/web-1", "--data-center", "annex", "--reason", "theirs").status == 0

    applied.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Stopped\n")
    assert applied("plan", "-f").status == 2, "a VM of that name in another data center is paused"
    assert applied("pause", "vm/web-1", "--data-center", "dc/farm").status == 0
    assert applied("plan", "-f").status == 3
    assert "dc/annex" in applied("pause").out
    assert applied("resume", "vm/web-1").status == 64
    assert applied("resume", "vm/web-1", "--data-center", ANNEX).status == 0
    assert applied("resume", "vm/web-1").status == 0
    assert applied("plan", "-f").status == 2


def test_data_centers_of_one_name_are_told_apart_by_uuid(applied: Desk) -> None:
    serve_another(applied, "dc/farm")

    assert applied("pause", "dc/farm").status == 64
    assert applied("pause", "dc/farm", "--data-center", "farm").status == 64
    assert applied("pause", "dc/farm", "--data-center", ANNEX).status == 0
    assert applied("plan", "-f").status == 0


def test_retry_forgets_the_failures_of_one_data_center(applied: Desk) -> None:
    serve_another(applied)
    store = applied.store()
    for center in store.centers.all():
        store.attempts.failed(center, "vm/web-1", "d", "no space")

    assert applied("retry", "vm/web-1").status == 64
    assert applied("retry", "vm/web-1", "--data-center", "annex").status == 0
    assert applied("retry", "vm/web-1", "--data-center", "annex").status == 1
    assert applied("retry", "vm/web-1").status == 0
    assert not any(store.attempts.all(center) for center in store.centers.all())
    store.close()
