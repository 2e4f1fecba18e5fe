"""Every case folder: the plan is the golden one, it can be carried out, and then nothing is left to do."""

import pytest

from tests.scenarios.cases import EXAMPLES, ROOT, all_cases, load_case, run_case
from tests.scenarios.stage import carry_out

CASES = all_cases()
ACCEPT = "if the new one is right, `python -m tests.scenarios.accept {}` writes it"


def test_every_example_is_a_case():
    folders = {str(path.parent.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.yaml")}

    assert folders <= {load_case(name).observed.get("example") for name in CASES}


@pytest.mark.parametrize("folder", sorted(path.name for path in EXAMPLES.iterdir()))
def test_every_example_says_how_it_ends(folder):
    readme = EXAMPLES / folder / "README.md"

    assert readme.exists()
    assert readme.read_text().startswith("# ")


def test_there_are_at_least_forty_cases():
    assert len(CASES) >= 40


@pytest.mark.parametrize("name", CASES)
def test_the_folder_says_in_a_line_what_it_proves(name):
    readme = ROOT / name / "README.md"

    assert readme.exists(), f"{name} has no README.md"
    assert readme.read_text().partition("\n")[0].strip().endswith(".")


@pytest.mark.parametrize("name", CASES)
def test_the_plan_is_the_golden_one(name):
    files = run_case(name).files
    folder = load_case(name).folder

    golden = {
        file: (folder / file).read_text()
        for file in ("plan.txt", "plan.json", "problems.txt")
        if (folder / file).exists()
    }

    assert golden == files, ACCEPT.format(name)


@pytest.mark.parametrize("name", CASES)
def test_the_plan_can_be_carried_out_and_then_nothing_is_left_to_do(name):
    result, case = run_case(name), load_case(name)
    if result.stage is None or result.done is None or result.desired is None:
        return

    done, passes = result.done, 0
    while done.plan.steps and passes < 5:
        carry_out(result.stage.world, done.plan, digests=case.options.secret_digests)
        done, passes = result.stage.plan(result.desired, case.options), passes + 1

    assert done.plan.steps == ()
    assert passes <= case.observed.get("passes", 1)
