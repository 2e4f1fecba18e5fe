"""Every command ends with the status that docs/commands.md says, and no input, however wrong, ends in a traceback."""

import json
from pathlib import Path

import pytest

from reconciler.cli.main import COMMANDS
from reconciler.lab.model import Lab
from reconciler.lab.state import write_lab
from tests.unit.cli.conftest import Desk


def test_a_plan_tells_by_its_status_whether_there_is_something_to_do(desk: Desk) -> None:
    assert desk("plan", "-f").status == 2
    assert desk("apply", "-f", "--yes").status == 0
    assert desk("plan", "-f").status == 0


def test_a_plan_with_something_blocked_has_status_3(applied: Desk) -> None:
    applied.change("web-1.yaml", "size: 10Gi", "size: 5Gi")

    assert applied("plan", "-f").status == 3
    assert applied("apply", "-f", "--yes").status == 3


def test_a_plan_that_would_disturb_more_than_allowed_has_status_3(applied: Desk) -> None:
    applied.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 1Gi\n  runPolicy: Stopped\n")

    assert applied("plan", "-f", "--fail-on", "power-off,data-loss").status == 3
    assert applied("plan", "-f", "--fail-on", "data-loss").status == 2


def test_a_plan_after_which_a_host_cannot_be_lost_has_status_3(applied: Desk) -> None:
    assert applied("plan", "-f", "--require", "n+1").status == 0
    assert applied("plan", "-f", "--require", "n+2").status == 64
    host = applied.where("vm/web-1")
    applied.change(
        "web-1.yaml",
        "  memory: 1Gi\n",
        f"  memory: 1Gi\n  placement: {{hosts: [{host.partition('/')[2]}]}}\n",
    )

    result = applied("plan", "-f", "--require", "n+1", "-o", "json")

    assert result.status == 3
    assert json.loads(result.out)["unmet"][0]["host"] == host


def test_an_apply_whose_step_fails_has_status_4_and_says_what_to_do(desk: Desk) -> None:
    desk.faults.failing = {(host, "start-vm"): 1 for host in desk.world.hosts}

    result = desk("apply", "-f", "--yes")

    assert result.status == 4
    assert "start-vm fails by script" in result.err
    assert "`ostler apply` goes on" in result.err


@pytest.mark.parametrize("silence", ["unreachable", "refusing"])
def test_an_apply_that_no_host_answers_has_achieved_nothing(applied: Desk, silence: str) -> None:
    for name, host in applied.world.hosts.items():
        if silence == "refusing":
            applied.faults.refuses[name] = "certificate expired"
        else:
            host.reachable = False

    result = applied("apply", "-f", "--yes")

    assert result.status == 4
    assert result.err.endswith("no host answers, so nobody knows what there is; see `ostler get hosts`\n")
    assert applied("plan", "-f").status == 3


def test_an_apply_that_one_host_answers_achieves_what_it_can(applied: Desk) -> None:
    applied.world.hosts[str(applied.where("vm/web-1"))].reachable = False

    assert applied("apply", "-f", "--yes").status == 3


def test_an_apply_without_consent_of_a_person_has_status_5_and_does_nothing(desk: Desk) -> None:
    result = desk("apply", "-f")

    assert result.status == 5
    assert "--yes" in result.err
    assert not desk.world.storage


def test_a_plan_file_applies_once(desk: Desk, tmp_path: Path) -> None:
    out = str(tmp_path / "plan.json")
    assert desk("plan", "-f", "--out", out).status == 2
    assert desk("show", out).status == 0
    assert desk("apply", out, "--yes").status == 0

    again = desk("apply", out, "--yes")

    assert (again.status, again.out) == (5, "")  # its steps were seen before
    (line,) = again.err.splitlines()
    assert line.startswith("refused: already applied, as ")


def test_a_plan_with_another_digest_than_the_approved_one_is_refused(desk: Desk) -> None:
    result = desk("apply", "-f", "--yes", "--expect", "0" * 64)

    assert result.status == 5
    assert not desk.world.storage


def test_validation_has_status_0_or_1(desk: Desk) -> None:
    assert desk("validate", str(desk.manifests)).status == 0
    desk.declare("bad.yaml", "kind: []\nkind: 1\n")
    result = desk("validate", str(desk.manifests))
    assert result.status == 1
    assert "bad.yaml:2:" in result.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("plan",),
        ("plan", "--nonsense"),
        ("plan", "-f"),
        ("plan", "-f", "-o", "nonsense"),
        ("plan", "-f", "--fail-on", "nonsense"),
        ("plan", "-f", "--allow-prune", "-1"),
        ("plan", "-f", "--allow-prune", "many"),
        ("apply",),
        ("explain",),
        ("get",),
        ("vm",),
        ("vm", "explode", "web-1"),
        ("vm", "stop"),
        ("run",),
        ("run", "-f", "--interval", "soon"),
        ("run", "-f", "--interval", "10ms"),
        ("run", "-f", "-"),
        ("pause", "web-1"),
        ("pause", "vm/web-1", "--all"),
        ("resume",),
        ("retry",),
        ("completion",),
        ("completion", "tcsh"),
        ("history", "--limit", "0"),
        ("init", "Not A Name"),
        ("init", "a.b"),
        ("init", "a" * 41),
    ],
)
def test_wrong_command_lines_have_status_64(desk: Desk, arguments: tuple[str, ...]) -> None:
    if arguments[-1:] == ("-f",):
        arguments = (*arguments[:-1], "--file")
    result = desk(*arguments)

    assert result.status == 64, result.err
    assert result.err.strip()
    assert not result.out.strip() or arguments == ("vm",)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("get", "vms", "-f", "-o", "xml"),
            "--output: xml is not one of table, wide, json, yaml, name; `ostler get",
        ),
        (("get",), "KIND is missing; `ostler get"),
        (("plan",), "--file is missing; `ostler plan"),
        (("history", "--limit", "many"), "--limit: many is no whole number; "),
        (("history", "--limit", "0"), "--limit: 0 is too little: 1 is the least; "),
        (("lab", "up", "--hosts", "99"), "--hosts: 99 is too much: 10 is the most; "),
        (("lab", "up", "--bridge", "Bad_Name"), "'Bad_Name' cannot be a lab's bridge; give 1 to 11 "),
        (("lab", "up", "--subnet", "10.0.0.0/8"), "10.0.0.0/8 cannot be a lab's subnet; "),
        (("lab", "up", "--data-center", "farm"), "farm is no uuid; "),
    ],
)
def test_a_wrong_command_line_is_told_by_option_value_and_what_there_is(
    desk: Desk, arguments: tuple[str, ...], said: str
) -> None:
    result = desk(*arguments)

    assert (result.status, result.out) == (64, "")
    assert result.err.startswith(f"usage: {said}"), result.err
    assert result.err.endswith("--help` shows what there is\n")


def test_a_command_without_its_subcommand_shows_its_help_as_it_is(desk: Desk) -> None:
    assert desk("vm").err.startswith("Usage: ostler vm")
    assert "shows what there is" not in desk("vm").err


@pytest.mark.parametrize(
    "content", ["", "\x00", "[]", "kind: [", "{}" * 1000, "a: &x [*x]", "\ufeff", "- " * 2000, '"']
)
@pytest.mark.parametrize(
    "command", ["plan", "apply", "get", "observe", "run", "vm", "takeover", "explain", "confirm"]
)
def test_no_manifest_ends_in_a_traceback(desk: Desk, command: str, content: str) -> None:
    desk.declare("odd.yaml", content)
    lines = {
        "get": ("get", "vms", "-f"),
        "vm": ("vm", "stop", "web-1", "-f"),
        "explain": ("explain", "vm/web-1", "-f"),
        "run": ("run", "-f", "--once"),
        "confirm": ("host", "confirm-off", "h1", "-f"),
    }

    assert desk(*lines.get(command, (command, "-f"))).status in range(6)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff\xfe", b"[" * 10_000, b'{"format":{"major":99,"minor":0}}', b"null"]
)
def test_no_file_of_ours_ends_in_a_traceback(desk: Desk, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(content)

    assert desk("show", str(file)).status == 1
    assert desk("apply", str(file), "--yes").status == 5
    assert desk("plan", "-f", "--observed", str(file)).status == 1
    assert desk("get", "vms", "-f", "--observed", str(file)).status == 1


@pytest.mark.parametrize("place", ["/nonexistent", "/dev/null", "/proc/self/mem", ""])
def test_no_path_ends_in_a_traceback(desk: Desk, place: str) -> None:
    for arguments in (
        ("plan", "--file", place),
        ("show", place),
        ("apply", place, "--yes"),
        ("plan", "-f", "--observed", place),
        ("plan", "-f", "--out", place or "/"),
        ("validate", place),
        ("apply", "-f", "--yes", "--secrets", place),
    ):
        assert desk(*arguments).status in {*range(6), 64}


def test_a_store_that_is_none_is_told(desk: Desk) -> None:
    (desk.home / "store.sqlite").write_bytes(b"not a database, but long enough to be looked at " * 100)

    for arguments in (("apply", "-f", "--yes"), ("pause", "--all"), ("history",), ("run", "-f", "--once")):
        result = desk(*arguments)
        assert (result.status, "store.sqlite" in result.err) == (1, True), arguments


def test_without_certificates_the_commands_say_how_to_get_them(desk: Desk) -> None:
    for file in (desk.home / "controller").iterdir():
        file.unlink()

    for arguments in (("plan", "-f"), ("apply", "-f", "--yes"), ("vm", "stop", "web-1", "-f"), ("run", "-f")):
        result = desk(*arguments)
        assert (result.status, "ostler pki init" in result.err) == (1, True), arguments


def test_an_observed_file_plans_offline_what_the_hosts_would(applied: Desk, tmp_path: Path) -> None:
    file = str(tmp_path / "observed.json")
    assert applied("observe", "-f", "--out", file).status == 0
    for host in applied.world.hosts.values():
        host.reachable = False

    assert applied("plan", "-f", "--observed", file).status == 0


@pytest.mark.parametrize("output", ["text", "json", "markdown", "html"])
def test_a_plan_is_printed_in_every_format(desk: Desk, output: str) -> None:
    result = desk("plan", "-f", "-o", output)

    assert result.status == 2
    assert "vm/web-1" in result.out
    if output == "json":
        json.loads(result.out)


@pytest.mark.parametrize(
    "kind", ["vms", "hosts", "disks", "networks", "storagedomains", "clusters", "datacenters"]
)
@pytest.mark.parametrize("output", ["table", "wide", "json", "yaml", "name"])
def test_every_kind_is_listed_in_every_format(applied: Desk, kind: str, output: str) -> None:
    result = applied("get", kind, "-f", "-o", output)

    assert result.status == 0
    assert result.out.strip()


@pytest.mark.parametrize("command", [*COMMANDS])
def test_every_command_explains_itself(desk: Desk, command: str) -> None:
    result = desk(command, "--help")

    assert result.status == 0
    assert "Usage:" in result.out


def test_a_lab_of_another_data_center_is_not_changed_into_one_of_this(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Lab] = []
    monkeypatch.setattr("reconciler.cli.lab.bring_up", lambda wanted: made.append(wanted) or wanted)
    monkeypatch.setattr("reconciler.cli.lab._show", lambda _lab, _output: None)
    farm, other = "58cfb470-02f3-03d7-0386-0000000003bc", "58cfb470-02f3-03d7-0386-0000000003bd"
    assert desk("lab", "up", "--data-center", farm).status == 0
    made[0].directory.mkdir()
    write_lab(made[0])

    refused = desk("lab", "up", "--data-center", other)

    assert (refused.status, "`ostler lab down` first" in refused.err, len(made)) == (5, True, 1)
    assert desk("lab", "up", "--data-center", farm, "--hosts", "2").status == 0
    assert desk("lab", "up").status == 0
