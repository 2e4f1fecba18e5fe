"""Whatever crashes when: no VM runs twice, no order takes effect twice, and once the faults end all is as declared."""

import pytest

from tests.laws.faultscripts import BrokenLawError, make_script, run_script, shorten

EXAMPLES = 200
BATCH = 25


@pytest.mark.parametrize("first", range(0, EXAMPLES, BATCH))
def test_no_promise_is_broken_and_passes_converge(first):
    for seed in range(first, first + BATCH):
        script = make_script(seed)
        try:
            run_script(script)
        except BrokenLawError:
            run_script(shorten(script))
            raise


def test_the_same_seed_gives_the_same_log():
    assert run_script(make_script(7)) == run_script(make_script(7))
