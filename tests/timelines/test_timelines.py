"""Every case folder: what happens, second by second, and the end are the golden ones."""

import pytest

from tests.timelines.cases import ROOT, all_cases, run_case

CASES = all_cases()
FILES = ("log.txt", "end.yaml")


def test_there_are_at_least_fourteen_cases():
    assert len(CASES) >= 14


@pytest.mark.parametrize("name", CASES)
def test_the_folder_says_in_a_line_what_it_proves(name):
    assert (ROOT / name / "README.md").read_text().partition("\n")[0].strip().endswith(".")


@pytest.mark.parametrize("name", CASES)
def test_everything_happens_as_the_golden_log_says(name):
    golden = {file: (ROOT / name / file).read_text() for file in FILES if (ROOT / name / file).exists()}

    assert run_case(name) == golden, (
        f"if it is right now, `python -m tests.timelines.accept {name}` writes it"
    )
