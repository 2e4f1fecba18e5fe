"""The commands of `ostler-agent` as a user types them: statuses, what goes where, and no tracebacks."""

import json
from pathlib import Path

import pytest

from nodeagent import main
from nodeagent.config import read_config
from nodeagent.main import USAGE_ERROR, as_table, run, write_first_config
from nodeagent.process import describe_api
from nodeagent.wire.facts import CheckFacts

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["chek"],
        ["check", "--outptu", "json"],
        ["check", "-o", "yaml"],
        ["enroll", "--token", "ostler1.x"],
    ],
)
def test_wrong_usage_ends_with_64(arguments, capsys):
    assert run(arguments) == USAGE_ERROR
    assert "Usage" in capsys.readouterr().err


def test_a_missing_or_broken_configuration_is_told_in_a_line(tmp_path, capsys):
    assert run(["serve", "--config", str(tmp_path / "agent.yaml")]) == 1
    (tmp_path / "agent.yaml").write_text("host: {name: h1}")
    assert run(["check", "--config", str(tmp_path / "agent.yaml")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "host: Object missing required field `uuid`" in lines[1]


def test_a_broken_token_is_told_and_never_repeated(tmp_path, capsys):
    token = tmp_path / "token"
    token.write_text("my secret")

    assert run(["enroll", "--token", str(token), "--directory", str(tmp_path / "pki")]) == 1
    assert "my secret" not in capsys.readouterr().err


@pytest.mark.parametrize(("level", "status"), [("error", 1), ("warning", 0), (None, 0)])
def test_check_fails_only_for_errors(level, status, tmp_path, monkeypatch, capsys):
    findings = (CheckFacts(level, "kvm", "it is slow", "make it fast"),) if level else ()
    monkeypatch.setattr(main, "build_scene", lambda config: None)
    monkeypatch.setattr(main, "run_checks", lambda scene, checks: findings)
    config = tmp_path / "agent.yaml"
    write_first_config(config, "h1", "11111111-1111-1111-1111-111111111111", tmp_path, ("192.0.2.1",))

    assert run(["check", "--config", str(config)]) == status
    table = capsys.readouterr().out
    assert run(["check", "--config", str(config), "-o", "json"]) == status
    assert json.loads(capsys.readouterr().out) == [
        {"level": f.level, "topic": f.topic, "summary": f.summary, "action": f.action} for f in findings
    ]
    assert ("it is slow" in table) == bool(findings)
    assert "libvirt       ok" in table


def test_the_table_has_a_line_for_each_topic_and_what_to_do():
    table = as_table((CheckFacts("warning", "kvm", "no KVM", "load kvm_intel"),))

    assert table.splitlines()[:2] == [
        "kvm           warning  no KVM",
        "                       → load kvm_intel",
    ]


def test_the_first_configuration_is_one_that_the_agent_reads(tmp_path):
    path = tmp_path / "etc" / "agent.yaml"
    write_first_config(
        path, "h1", "11111111-1111-1111-1111-111111111111", tmp_path / "pki", ("192.0.2.1", "h1.example")
    )

    assert (read_config(path).address, read_config(path).data_center) == ("192.0.2.1", None)


def test_the_description_in_docs_is_up_to_date():
    printed = json.loads(json.dumps(describe_api()))
    advice = "run: ostler-agent describe > docs/agent-api.json"
    assert json.loads((ROOT / "docs" / "agent-api.json").read_text()) == printed, advice
