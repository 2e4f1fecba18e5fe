"""Planned balancing beside Ganeti's hbal (`apt install ganeti-htools`), which also judges our placements; and alone where
hbal does not end."""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import ganeti
from benchmarks.clusters import GIB, make_cluster
from reconciler.placement.balance.plan import Spreads, measure, plan_balance
from reconciler.placement.balance.score import Weights, points, scales_of
from reconciler.placement.balance.state import ClusterState, Integers

ROUNDS = 5
FIVE_MINUTES = 300.0
BESIDE = [
    *[("even", 40, 400, seed, False) for seed in (1, 2, 3)],
    *[(shape, 20, 200, seed, True) for shape in ("even", "mixed", "huge", "full") for seed in (1, 2)],
]
"""Shape, hosts, VMs, seed, whether VMs have CPU load."""


@dataclass(frozen=True, slots=True)
class Result:
    """One balancing of one cluster."""

    seconds: float
    end: Integers
    steps: int


def main() -> None:
    """Prints one table beside hbal, and our own figures for large clusters."""
    with tempfile.TemporaryDirectory(prefix="ostler-bench-") as place:
        if ganeti.is_here():
            beside_hbal(Path(place))
            taken_up_by_hbal(Path(place))
        else:
            print("hbal is not here (apt install ganeti-htools): only our own figures follow")
    alone(400, 10_000)


def beside_hbal(directory: Path) -> None:
    """Both from the same start. Ratios: ours to hbal's."""
    print(
        "| shape, hosts, VMs, seed | | seconds | moves | GiB | hbal's score | memory | CPU | vCPUs | VMs | not n+1 |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    ratios: list[tuple[str, float, float, float]] = []
    for shape, hosts, vms, seed, load in BESIDE:
        state = make_cluster(shape, hosts, vms, seed, load=load)
        name = f"{shape}, {hosts}, {vms}, {seed}"
        ours = _ours(state)
        run = ganeti.balance(state, directory)
        assert run.end is not None, "hbal did not end"
        theirs = Result(run.seconds, run.end, run.steps)
        scores = [ganeti.score_of(state, end, directory) for end in (state.vms.host, ours.end, theirs.end)]
        _print_row(name, "start", state, Result(0.0, state.vms.host, 0), scores[0])
        _print_row("", "ours", state, ours, scores[1])
        _print_row("", "hbal", state, theirs, scores[2])
        moves = ours.steps / max(1, theirs.steps)
        ratios.append((f"{shape} {hosts}/{vms}", ours.seconds / theirs.seconds, moves, scores[1] / scores[2]))
    for kind in sorted({one[0] for one in ratios}):
        mine = [one for one in ratios if one[0] == kind]
        seconds = statistics.median(one[1] for one in mine)
        moves = statistics.median(one[2] for one in mine)
        score = statistics.median(one[3] for one in mine)
        print(f"{kind}: medians of ratios: time {seconds:.4f}, moves {moves:.3f}, hbal's score {score:.3f}")


def taken_up_by_hbal(directory: Path) -> None:
    """What hbal finds in five minutes from where we end, at 100 hosts and 1 000 VMs."""
    for seed in (1, 2):
        state = make_cluster("even", 100, 1_000, seed)
        ours = _ours(state)
        start, end = (ganeti.score_of(state, host, directory) for host in (state.vms.host, ours.end))
        run = ganeti.balance(state.with_places(ours.end), directory, limit=FIVE_MINUTES)
        print(
            f"100/1000, seed {seed}: {ours.seconds:.2f} s, {ours.steps} moves, hbal's score {start:.4f} -> {end:.4f};"
            f" hbal from there: {run.steps} moves in {run.seconds:.0f} s, {run.score:.4f}"
        )


def alone(hosts: int, vms: int) -> None:
    """Large clusters, beside a bound that no placement is below."""
    for seed in (1, 2):
        state = make_cluster("even", hosts, vms, seed, load=True)
        begin = time.perf_counter()
        plan = plan_balance(state)
        seconds = time.perf_counter() - begin
        again = plan_balance(state.with_places(plan.end))
        print(
            f"{hosts}/{vms}, seed {seed}: {seconds:.2f} s, {len(plan.moves)} moves, then {len(again.moves)}"
        )
        for name, one in (("start", plan.before), ("end", plan.after), ("bound", least_spreads(state))):
            print(f"  {name}: score {one.score:.4f}, {_spreads(one)}")


def least_spreads(state: ClusterState) -> Spreads:
    """What no placement can be below: each resource alone, shared out in its smallest unit; nothing where hosts differ."""
    scales = scales_of(state, Weights())
    deviations = np.zeros(len(scales.weights))
    for one in range(len(deviations)):
        sizes, takes = scales.sizes[scales.counted, one], scales.takes[:, one]
        if (sizes == sizes[0]).all() and (takes == np.round(takes)).all() and takes.any():
            unit = int(np.gcd.reduce(takes.astype(np.int64)))
            part = takes.sum() / unit / scales.number % 1.0
            deviations[one] = np.sqrt(part * (1 - part)) * unit / sizes[0]
    memory, load, vcpus, numbers = (float(one) for one in deviations)
    return Spreads(memory, load, vcpus, numbers * scales.mean, 0, float(points(scales, deviations**2)))


def _ours(state: ClusterState) -> Result:
    """The median of several rounds."""
    times: list[float] = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        plan = plan_balance(state)
        times.append(time.perf_counter() - begin)
    return Result(statistics.median(times), plan.end, len(plan.moves))


def _print_row(name: str, who: str, state: ClusterState, result: Result, score: float) -> None:
    carried = float(state.vms.memory_bytes[result.end != state.vms.host].sum()) / GIB
    one = measure(state.with_places(result.end))
    print(
        f"| {name} | {who} | {result.seconds:.3f} | {result.steps} | {carried:.0f} | {score:.4f} | {one.memory:.4f} |"
        f" {one.load:.4f} | {one.vcpus:.4f} | {one.numbers:.3f} | {one.not_spare} |",
        flush=True,
    )


def _spreads(one: Spreads) -> str:
    return (
        f"memory {one.memory:.4f}, CPU {one.load:.4f}, vCPUs {one.vcpus:.4f}, VMs {one.numbers:.3f},"
        f" hosts not n+1: {one.not_spare}"
    )


if __name__ == "__main__":
    main()
