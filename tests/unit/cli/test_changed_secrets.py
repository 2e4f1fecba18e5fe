"""A secret whose value changed is set in the guests that were given the former one; whoever cannot read it says so."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Desk
from tests.unit.cli.test_the_loop import Loop

REFERENCE = "consoles/web-1"


@pytest.fixture
def secrets(desk: Desk, tmp_path: Path) -> Path:
    """The directory of secrets, with one that vm/web-1 was started with."""
    place = tmp_path / "secrets"
    (place / "consoles").mkdir(parents=True)
    (place / REFERENCE).write_text("former\n")
    desk.change("web-1.yaml", "  memory: 1Gi\n", f"  memory: 1Gi\n  {vnc('web-1')}\n")
    done = desk("apply", "-f", "--yes", "--secrets", str(place))
    assert done.status == 0, done.err
    return place


def vnc(key: str) -> str:
    return f"vnc: {{password: {{secret: consoles, key: {key}}}}}"


def given(desk: Desk) -> str:
    """The digest of what the guest was given."""
    ((reference, digest),) = desk.guest("vm/web-1").applied_secrets
    assert reference == REFERENCE
    return str(digest)


def test_a_secret_that_did_not_change_is_left_alone(desk: Desk, secrets: Path) -> None:
    planned = desk("plan", "-f", "--secrets", str(secrets))

    assert (planned.status, "alert" in planned.out) == (0, False)


def test_a_changed_secret_is_planned_set_and_then_done_with(desk: Desk, secrets: Path) -> None:
    before = given(desk)
    (secrets / REFERENCE).write_text("new\n")

    planned = desk("plan", "-f", "--secrets", str(secrets))
    applied = desk("apply", "-f", "--yes", "--secrets", str(secrets))

    assert planned.status == 2
    assert (
        "vm/web-1#set-vnc-password on host/h1: VNC password from consoles/web-1; because secret-changed"
        in planned.out
    )
    assert applied.status == 0, applied.err
    assert given(desk) != before
    assert desk("plan", "-f", "--secrets", str(secrets)).status == 0


def test_neither_plan_nor_store_holds_a_value(desk: Desk, secrets: Path) -> None:
    (secrets / REFERENCE).write_text("Sesam!\n")
    shown = desk("plan", "-f", "-o", "json", "--secrets", str(secrets))
    desk("apply", "-f", "--yes", "--secrets", str(secrets))

    kept = b"".join(path.read_bytes() for path in desk.home.rglob("*") if path.is_file())

    assert "Sesam!" not in shown.out + shown.err
    assert b"Sesam!" not in kept


def test_a_plan_that_cannot_read_the_secret_says_so_and_does_nothing(desk: Desk, secrets: Path) -> None:
    (secrets / REFERENCE).write_text("new\n")

    planned = desk("plan", "-f")

    assert planned.status == 0
    assert "vm.vnc.password of vm/web-1 is not compared: consoles/web-1 cannot be read here" in planned.out


def test_a_plan_without_the_digest_key_compares_nothing(desk: Desk, secrets: Path) -> None:
    (secrets / REFERENCE).write_text("new\n")
    for key in (desk.home / "controller").glob("*digest*"):
        key.unlink()

    planned = desk("plan", "-f", "--secrets", str(secrets))

    assert (planned.status, "is not compared" in planned.out) == (0, True)


def test_another_secret_is_one_step_not_two(desk: Desk, secrets: Path) -> None:
    (secrets / "consoles" / "other").write_text("other\n")
    desk.change("web-1.yaml", vnc("web-1"), vnc("other"))

    planned = desk("plan", "-f", "--secrets", str(secrets))

    assert planned.out.count("#set-vnc-password") == 1


def test_what_if_does_not_take_made_up_secrets_for_changed_ones(
    desk: Desk, secrets: Path, tmp_path: Path
) -> None:
    seen = tmp_path / "observed.json"
    assert desk("observe", "-f", "--out", str(seen)).status == 0

    played = desk("simulate", "-f", "--observed", str(seen))

    assert played.status == 0, played.err
    assert "set-vnc-password" not in played.out + played.err


def test_the_loop_notices_a_secret_that_changes_while_it_runs(desk: Desk, secrets: Path) -> None:
    loop = Loop(desk, secrets)
    before = given(desk)

    def change() -> bool:
        (secrets / REFERENCE).write_text("new\n")
        return True

    loop.until(change, lambda: given(desk) != before)
