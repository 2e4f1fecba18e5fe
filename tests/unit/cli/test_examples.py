"""Every example ends as its README says when it is tried with `ostler simulate`."""

from pathlib import Path

import pytest

from reconciler.cli.main import run

EXAMPLES = Path(__file__).parents[3] / "examples" / "manifests"
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
