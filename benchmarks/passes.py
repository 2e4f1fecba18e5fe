"""How long a pass takes, against a bound in the same run, and how it grows from 1 000 to 50 000 VMs.

One process a size, so that memory is of one size and nothing of a smaller one is left in the way.
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
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import yaml

from benchmarks.estates import carry_out, empty_world, read_estate, write_manifests
from reconciler.cli.loading import long_lived
from reconciler.model.desired import Desired
from reconciler.model.reports import Reports
from reconciler.pipeline import run_pass

ROUNDS = 3
SIZES = ((20, 1_000), (200, 10_000), (250, 50_000))
"""Hosts and VMs: 50 VMs a host, up to the 250 hosts that a data center takes."""
MEMORY = "peak memory, MiB"


def median_s(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median CPU seconds of `rounds` runs; nothing here waits for anything. The collector runs between them only, as
    commands have it."""
    taken = []
    for _ in range(rounds):
        gc.collect()
        gc.disable()
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
        gc.enable()
    return statistics.median(taken)


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


def measure(hosts: int, vms: int) -> dict[str, float]:
    """Seconds of every part for one size."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        write_manifests(directory, hosts, vms)
        texts = [path.read_text() for path in sorted(directory.glob("*.yaml"))]
        bound = median_s(lambda: [list(yaml.load_all(text, Loader=yaml.CSafeLoader)) for text in texts], 1)
        read = median_s(lambda: read_long_lived(directory), 3)
        desired = read_estate(directory)
    world, nothing = empty_world(desired)
    gc.disable()
    begin = time.process_time()
    first = run_pass(desired, nothing)
    first_s = time.process_time() - begin
    gc.enable()
    reports = carry_out(world, desired, first.plan)
    del world, nothing, first
    document = msgspec.json.encode(reports)
    decode = median_s(lambda: decode_long_lived(document), 3)
    reports = msgspec.json.decode(document, type=Reports)
    gc.freeze()
    steady = run_pass(desired, reports)
    assert not steady.plan.steps, steady.plan.steps[:3]
    one, percent = change_vms(desired, 1), change_vms(desired, max(1, vms // 100))
    results = {
        "yaml.CSafeLoader (bound)": bound,
        "YAML to Desired": read,
        "decode the observed file": decode,
        "pass, nothing to do": median_s(lambda: run_pass(desired, reports)),
        "pass, 1 % of the VMs changed": median_s(lambda: run_pass(percent, reports)),
        "pass, one VM changed, previous in hand": median_s(lambda: run_pass(one, reports, steady)),
        "pass, first of all (once)": first_s,
        "calls/1000, nothing to do": count_calls(lambda: run_pass(desired, reports)),
        "calls/1000, 1 % changed": count_calls(lambda: run_pass(percent, reports)),
        "calls/1000, one changed, previous": count_calls(lambda: run_pass(one, reports, steady)),
    }
    gc.unfreeze()
    return results


def growth(small: float, large: float, times: float) -> float:
    """The exponent: 1 for what grows with the size, 2 with its square."""
    return math.log(large / small) / math.log(times)


def measure_apart(hosts: int, vms: int) -> dict[str, float]:
    """`measure` in a process of its own, with its peak memory."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.passes", str(hosts), str(vms)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Prints the table; with hosts and VMs on the command line, the figures of one size as JSON."""
    if len(sys.argv) == 3 and sys.argv[1].isdecimal():
        figures = measure(int(sys.argv[1]), int(sys.argv[2]))
        figures[MEMORY] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(json.dumps(figures))
        return
    table = {size: measure_apart(*size) for size in SIZES}
    steps = list(pairwise(SIZES))
    names = list(table[SIZES[0]])
    print(f"{'CPU seconds (medians)':42}" + "".join(f"{vms:>12,} VMs" for _, vms in SIZES)
          + "".join(f"{'grows^':>9}" for _ in steps))  # fmt: skip
    for name in names:
        row = "".join(f"{table[size][name]:>16.3f}" for size in SIZES)
        for small, large in steps:
            row += f"{growth(table[small][name], table[large][name], large[1] / small[1]):>9.2f}"
        print(f"{name:42}{row}")


if __name__ == "__main__":
    main()
