"""A migration is given up when it gets nowhere, and not while it advances, however slowly."""

from nodeagent.drivers.libvirt_values import JobProgress
from nodeagent.operations.vm_convergence import Convergence

MIB = 1024 * 1024


def at(iteration: int, remaining_mib: int) -> JobProgress:
    return JobProgress(
        "running",
        "migration-out",
        remaining_bytes=remaining_mib * MIB,
        total_bytes=1024 * MIB,
        iteration=iteration,
    )


def follow(convergence: Convergence, looks: list[JobProgress], step_ms: int = 1000) -> list[str | None]:
    return [convergence.look(progress, index * step_ms) for index, progress in enumerate(looks)]


def test_a_slow_first_pass_that_advances_is_no_stall():
    looks = [at(1, remaining) for remaining in range(1000, 900, -2)]

    assert set(follow(Convergence(3_000, 0), looks)) == {None}


def test_a_first_pass_that_stands_still_is_a_stall():
    reasons = follow(Convergence(3_000, 0), [at(1, 500)] * 6)

    assert reasons[:4] == [None] * 4
    assert "no progress for 3 s" in reasons[-1]


def test_passes_that_become_smaller_converge():
    looks = [at(iteration, 400 // iteration - low) for iteration in range(1, 8) for low in (0, 20)]

    assert set(follow(Convergence(3_000, 0), looks)) == {None}


def test_passes_of_the_same_size_do_not_converge_though_each_advances():
    looks = [at(iteration, 64 - low) for iteration in range(1, 10) for low in (0, 30, 60)]
    reasons = follow(Convergence(5_000, 0), looks)

    assert any(reason is not None and "no progress" in reason for reason in reasons)


def test_the_time_limit_holds_though_it_advances():
    reasons = follow(Convergence(0, 4_000), [at(1, remaining) for remaining in range(500, 400, -10)])

    assert reasons[4] is None
    assert "longer than 4 s" in reasons[5]


def test_without_limits_nothing_is_given_up():
    assert set(follow(Convergence(0, 0), [at(1, 500)] * 50)) == {None}
