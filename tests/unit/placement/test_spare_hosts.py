"""What a cluster's hosts hold once a plan is carried out, and whether any one of them may be lost."""

from dataclasses import replace

from reconciler.model.change import Power
from reconciler.model.placement import Assignment, Outcome, Placement
from reconciler.pipeline import Pass
from reconciler.placement.spare import find_shortfalls, used_after
from tests.scenarios.cases import run_case


def converged() -> Pass:
    """web-1, web-2 and db-1 on three hosts of 8 GiB."""
    done = run_case("placement/n-plus-one-met").done
    assert done is not None
    return done


def used(done: Pass, placement: Placement, **powers: Power) -> dict[str, int]:
    asked = {**done.powers, **{f"vm/{name.replace('_', '-')}": power for name, power in powers.items()}}
    return used_after(done.desired, done.observed, done.identities, asked, placement)


def test_what_moves_counts_where_it_goes_and_what_stops_nowhere() -> None:
    done = converged()
    before = used(done, done.placement)
    source = str(done.placement.assignments["vm/web-1"].host)
    target = next(name for name in sorted(before) if name != source)
    moves = Assignment("vm/web-1", Outcome.MOVES, target, source, "host-in-maintenance")
    moved = replace(done.placement, assignments={**done.placement.assignments, "vm/web-1": moves})
    kept = {name: one for name, one in done.placement.assignments.items() if name != "vm/web-1"}

    after = used(done, moved)
    stopped = used(done, Placement(kept), web_1=Power.STOP)

    size = before[source] - after[source]
    assert size > 0
    assert after[target] - before[target] == size
    assert stopped[source] == after[source]
    assert sum(stopped.values()) == sum(before.values()) - size


def test_a_host_alone_in_its_cluster_cannot_be_lost() -> None:
    done = converged()
    alone = str(done.placement.assignments["vm/web-1"].host)
    desired = replace(done.desired, hosts={alone: done.desired.hosts[alone]})
    assignments = {name: one for name, one in done.placement.assignments.items() if one.host == alone}

    found = find_shortfalls(desired, done.observed, done.identities, done.powers, Placement(assignments))

    assert [(one.host, [vm.vm for vm in one.vms]) for one in found] == [(alone, sorted(assignments))]
    assert all(vm.dropped == () for vm in found[0].vms)


def test_a_cluster_that_can_lose_any_host_has_no_shortfall() -> None:
    done = converged()

    assert find_shortfalls(done.desired, done.observed, done.identities, done.powers, done.placement) == ()
