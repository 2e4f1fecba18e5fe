"""`ostler simulate`: what it prints and how it exits, from manifests as people write them."""

from pathlib import Path

import pytest
import typer

from reconciler.cli.failures import CommandError
from reconciler.cli.simulate import register
from reconciler.cli.statuses import Status
from tests.scenarios.manifests import BASES

FILES = [str(BASES / f"{name}.yaml") for name in ("center", "h1", "h2", "web-1")]


@pytest.fixture
def simulate(capsys):
    app = typer.Typer(add_completion=False)
    register(app)
    app.command("other")(lambda: None)

    def run(*arguments: str, files: list[str] = FILES) -> tuple[int, str, str]:
        named = [part for file in files for part in ("-f", file)]
        status = app(args=["simulate", *named, *arguments], standalone_mode=False)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_manifests_are_applied_to_bare_hosts_until_nothing_is_left_to_do(simulate):
    status, out, err = simulate()

    assert status == Status.DONE
    assert "host/h1  up: vm/web-1" in out
    assert out.endswith("a further plan: dc/farm: nothing to do\n")
    assert "all hosts are simulated" in err
    assert "succeeded" in err


def test_the_same_manifests_give_the_same_output(simulate):
    assert simulate()[1:] == simulate()[1:]


def test_maintenance_moves_vms_away_and_ends_as_declared(simulate):
    status, out, _ = simulate("--maintenance", "h1")

    assert status == Status.DONE
    assert "vm/web-1#migrate on host/h1" in out
    assert "host/h1  maintenance: no guests" in out


def test_a_failed_host_leaves_its_vms_blocked(simulate):
    status, out, _ = simulate("--fail", "host/h1")

    assert status == Status.BLOCKED
    assert "blocked: vm/web-1: " in out
    assert "host/h2  up: no guests" in out


def test_a_script_tells_more(simulate, tmp_path: Path):
    script = tmp_path / "script"
    script.write_text("# a night\n0 power-off host/h1\n60 confirm-off host/h1\n200 power-on host/h1\n")

    status, out, err = simulate("--script", str(script))

    assert status == Status.DONE
    assert "host/h2  up: vm/web-1" in out
    assert "confirm-off host/h1" in err


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("power-off host/h1", "SECONDS EVENT"),
        ("5 explode host/h1", "unknown event"),
        ("5 power-off", "HOST"),
        ("5 power-off host/h9", "there is no host/h9"),
        ("5 maintenance host/h1 maybe", "on|off"),
        ("5 destroy vm/nobody", "does not run"),
        ("5 lose-answers host/h1 many", "many"),
    ],
)
def test_a_script_that_cannot_be_played_is_refused_with_its_line(simulate, tmp_path: Path, text, fault):
    script = tmp_path / "script"
    script.write_text(text)

    with pytest.raises(CommandError, match=fault.replace("|", r"\|")):
        simulate("--script", str(script))


@pytest.mark.parametrize("size", ["64Gi", "64Gi/", "64Gi/0", "much/4", "/4"])
def test_a_host_size_that_is_none_is_a_usage_error(simulate, size):
    with pytest.raises(typer.BadParameter):
        simulate("--hosts", size)


def test_hosts_that_are_too_small_leave_vms_blocked(simulate):
    status, out, _ = simulate("--hosts", "1Gi/1")

    assert status == Status.BLOCKED
    assert "vm/web-1" in out


def test_a_host_that_nobody_declares_cannot_fail(simulate):
    with pytest.raises(CommandError, match="no host h9"):
        simulate("--fail", "h9")
