"""Where the second copy of a VM's record lies, while its guest moves and afterwards."""

from tests.scenarios.cases import run_case
from tests.scenarios.stage import carry_out


def test_the_copy_follows_the_first_disk_once_the_guest_has_moved_to_it():
    case = run_case("storage/copy-of-a-record-follows-its-disk")
    assert case.stage is not None
    assert case.done is not None
    assert case.desired is not None
    carry_out(case.stage.world, case.done.plan)

    steps = case.stage.plan(case.desired).plan.steps

    (written,) = [one for one in steps if one.id == "vm/web-1#update-record"]
    local = case.desired.storage_domains["sd/local-h2"].uuid
    assert [one.rule for one in written.because] == ["copy-follows-disk"]
    assert written.args["record"]["copy_domain"] == local
