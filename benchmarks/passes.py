"""How long a pass takes, against peers in the same run, and how it grows from 1 000 to 50 000 VMs.

One process a size, so that memory is of one size and nothing of a smaller one is left in the way. Their rounds go turn
by turn, so that whatever else the machine does slows all sizes alike.
"""

import cProfile
import gc
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import msgspec
import yaml

from benchmarks.estates import carry_out, empty_world, read_estate, write_manifests
from benchmarks.peers import compare_guests, read_once, seconds_in_cache
from reconciler.cli.loading import long_lived
from reconciler.model.desired import Desired
from reconciler.model.reports import Reports
from reconciler.pipeline import Pass, run_pass

ROUNDS = 7
SIZES = ((20, 1_000), (200, 10_000), (250, 50_000))
"""Hosts and VMs: 50 VMs a host, up to the 250 hosts that a data center takes."""
STEADY = "pass, nothing to do"
PEER = "peer: three fields of every VM and guest"
CALLS = "calls/1000, "
FROM_YAML = ("YAML to Desired", "decode the observed file", STEADY)
BOUND_VMS = 10_000
BOUNDS = {
    STEADY: 1.0, "pass, 1 % of the VMs changed": 1.5, "pass, one VM changed, previous in hand": 0.1,
    "from YAML": 5.0, "peak memory, MiB": 700,
}  # fmt: skip
"""CPU seconds, and MiB, that are enough for so many VMs."""
MOST_GROWTH = 1.05
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Estate:
    """What the passes of one size are made over. one, percent: with so many VMs changed."""

    desired: Desired
    reports: Reports
    steady: Pass
    one: Desired
    percent: Desired


def seconds(work: Callable[[], object], *, collecting: bool = False) -> float:
    """CPU seconds; nothing here waits for anything. The collector runs before and after only, as commands and the loop
    have it, or in between, too."""
    gc.collect()
    if not collecting:
        gc.disable()
    begin = time.process_time()
    work()
    taken = time.process_time() - begin
    gc.enable()
    return taken


def count_calls(work: Callable[[], object]) -> float:
    """Function calls in thousands: work that no cache and no other process makes larger or smaller."""
    profile = cProfile.Profile()
    profile.enable()
    work()
    profile.disable()
    return sum(entry.callcount for entry in profile.getstats()) / 1000


def change_vms(desired: Desired, count: int) -> Desired:
    """The same estate with another description on every n-th VM."""
    names = list(desired.vms)[:: max(1, len(desired.vms) // count)][:count]
    changed = {
        name: replace(desired.vms[name], memory_bytes=desired.vms[name].memory_bytes // 2,
                      meta=replace(desired.vms[name].meta, digest=f"changed {name}"))
        for name in names
    }  # fmt: skip
    return replace(desired, vms={**desired.vms, **changed})


def read_long_lived(directory: Path) -> Desired:
    """The manifests, as commands read them."""
    with long_lived():
        return read_estate(directory)


def decode_long_lived(document: bytes) -> Reports:
    """The observed file, as commands read it."""
    with long_lived():
        return msgspec.json.decode(document, type=Reports)


def make_world(desired: Desired) -> tuple[float, bytes]:
    """The seconds of the first pass of all, and the observed file once its plan was carried out."""
    world, nothing = empty_world(desired)
    made: list[Pass] = []
    taken = seconds(lambda: made.append(run_pass(desired, nothing)))
    return taken, msgspec.json.encode(carry_out(world, desired, made.pop().plan))


def prepare(hosts: int, vms: int) -> tuple[Figures, Estate]:
    """The estate of one size, and the seconds of all that leads to it."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        write_manifests(directory, hosts, vms)
        texts = [path.read_text() for path in sorted(directory.glob("*.yaml"))]
        figures["yaml.CSafeLoader (bound)"] = seconds(
            lambda: [list(yaml.load_all(text, Loader=yaml.CSafeLoader)) for text in texts]
        )
        figures["YAML to Desired"] = statistics.median(
            seconds(lambda: read_long_lived(directory)) for _ in range(3)
        )
        desired = read_estate(directory)
    figures["pass, first of all (once)"], document = make_world(desired)
    figures["decode the observed file"] = statistics.median(
        seconds(lambda: decode_long_lived(document)) for _ in range(3)
    )
    reports = msgspec.json.decode(document, type=Reports)
    gc.freeze()
    steady = run_pass(desired, reports)
    assert not steady.plan.steps, steady.plan.steps[:3]
    one, percent = change_vms(desired, 1), change_vms(desired, max(1, vms // 100))
    return figures, Estate(desired, reports, steady, one, percent)


def works_of(estate: Estate) -> dict[str, Callable[[], object]]:
    """The passes that are timed and whose calls are counted."""
    return {
        STEADY: lambda: run_pass(estate.desired, estate.reports),
        "pass, 1 % of the VMs changed": lambda: run_pass(estate.percent, estate.reports),
        "pass, one VM changed, previous in hand": lambda: run_pass(estate.one, estate.reports, estate.steady),
    }


def time_round(estate: Estate) -> Figures:
    """CPU seconds of each pass and each peer, once, one after another."""
    figures = {name: seconds(work) for name, work in works_of(estate).items()}
    figures["nothing to do, were the collector at work"] = seconds(works_of(estate)[STEADY], collecting=True)
    figures[PEER] = seconds(lambda: read_once(estate.steady))
    figures["every guest made and compared"] = seconds(
        lambda: compare_guests(estate.steady, estate.desired.vms.values())
    )
    figures["the same where it is in cache"] = seconds_in_cache(estate.steady)
    return figures


def serve(hosts: int, vms: int) -> None:
    """One size in a process of its own: a line of figures once all is ready, and one for each line that it is sent;
    with the last, `end`, calls and memory."""
    figures, estate = prepare(hosts, vms)
    print(json.dumps(figures), flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        print(json.dumps(time_round(estate)), flush=True)
    calls = {f"{CALLS}{name}": count_calls(work) for name, work in works_of(estate).items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps(calls | {"peak memory, MiB": peak}), flush=True)


class Size:
    """The process of one size, as the one that asks sees it."""

    def __init__(self, hosts: int, vms: int, stack: ExitStack) -> None:
        """Starts it, and waits until its estate is there."""
        self.vms = vms
        command = [sys.executable, "-m", "benchmarks.passes", str(hosts), str(vms)]
        pipes = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process = stack.enter_context(pipes)
        self._prepared = self._read()
        self._rounds: list[Figures] = []

    def take_round(self) -> None:
        """Has everything timed once more."""
        self._rounds.append(self._ask("round"))

    def end(self) -> Figures:
        """All figures: medians of the rounds."""
        counted = self._ask("end")
        medians = {name: statistics.median(one[name] for one in self._rounds) for name in self._rounds[0]}
        ratio = statistics.median(one[STEADY] / one[PEER] for one in self._rounds)
        return self._prepared | medians | {"nothing to do, times the peer": ratio} | counted

    def _ask(self, what: str) -> Figures:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Figures:
        assert self._process.stdout is not None
        found: Figures = json.loads(self._process.stdout.readline())
        return found


def growth(small: float, large: float, times: float) -> float:
    """The exponent: 1 for what grows with the size, 2 with its square."""
    return math.log(large / small) / math.log(times)


def show(table: Mapping[int, Figures]) -> None:
    """A row a figure, a column a size, and the exponents between neighbours."""
    steps = list(pairwise(table))
    print(f"{'CPU seconds (medians)':50}" + "".join(f"{vms:>12,} VMs" for vms in table)
          + "".join(f"{'grows^':>9}" for _ in steps))  # fmt: skip
    for name in next(iter(table.values())):
        row = "".join(f"{figures[name]:>16.4f}" for figures in table.values())
        for small, large in steps:
            row += f"{growth(table[small][name], table[large][name], large / small):>9.2f}"
        print(f"{name:50}{row}")


def missed(table: Mapping[int, Figures]) -> list[str]:
    """What is not as wanted: the bounds of 10 000 VMs, and that what a pass does grows no more than linearly."""
    large = table[BOUND_VMS]
    sums = {**large, "from YAML": sum(large[name] for name in FROM_YAML)}
    found = [
        f"{name}: {sums[name]:.2f}, wanted {most:g}" for name, most in BOUNDS.items() if sums[name] > most
    ]
    for small, big in pairwise(table):
        for name in (one for one in large if one.startswith(CALLS)):
            exponent = growth(table[small][name], table[big][name], big / small)
            if exponent > MOST_GROWTH:
                found.append(f"{name} grow with exponent {exponent:.2f} from {small} to {big} VMs")
    return found


def main() -> list[str]:
    """Prints the table and returns what is not as wanted; with hosts and VMs on the command line it is the process of
    one size."""
    if len(sys.argv) == 3 and sys.argv[1].isdecimal():
        serve(int(sys.argv[1]), int(sys.argv[2]))
        return []
    with ExitStack() as stack:
        sizes = [Size(hosts, vms, stack) for hosts, vms in SIZES]
        for _ in range(ROUNDS):
            for size in sizes:
                size.take_round()
        table = {size.vms: size.end() for size in sizes}
    show(table)
    return missed(table)


if __name__ == "__main__":
    main()
