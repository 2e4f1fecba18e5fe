"""Every example ends as its README says when it is tried with `ostler simulate`."""

from pathlib import Path

import pytest

from reconciler.cli.main import run
from reconciler.cli.rehearsal import OWN_EVENTS
from reconciler.simulation.script import HAPPENINGS

EXAMPLES = Path(__file__).parents[3] / "examples" / "manifests"
PAGE = (EXAMPLES.parents[1] / "docs" / "simulate.md").read_text()
FOLDERS = sorted({str(path.parent.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.yaml")})
BLOCKED = {"rename-after": "no record of that is known"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_ends_settled_or_says_what_is_missing(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run(["simulate", "-f", str(EXAMPLES / folder)])

    said = capsys.readouterr().out
    last = said.rpartition("a further plan: ")[2]
    if folder in BLOCKED:
        assert (status, BLOCKED[folder] in last) == (3, True)
    else:
        assert (status, last) == (0, "dc/farm: nothing to do\n")


def test_the_script_of_the_docs_ends_as_they_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "night.txt"
    script.write_text(PAGE.partition("```text\n")[2].partition("```")[0])

    status = run(["simulate", "-f", str(EXAMPLES / "quickstart"), "--script", str(script)])

    said = capsys.readouterr().out
    assert status == 0
    assert "it is not known whether it runs: host/h2 does not answer" in said
    assert "host/h2  up: no guests" in said.rpartition("end, after")[2]


def test_the_docs_name_every_event_that_a_script_may_have() -> None:
    told = {
        word.split()[0]
        for line in PAGE.splitlines()
        if line.startswith("| `")
        for word in line.split("`")[1::2]
    }

    assert {*HAPPENINGS, *OWN_EVENTS} <= told
