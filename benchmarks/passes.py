"""How long a pass takes, against a bound in the same run, and how it grows from 1 000 to 50 000 VMs."""

import gc
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import yaml

from benchmarks.estates import applied_reports, read_estate, write_manifests
from reconciler.cli.loading import long_lived
from reconciler.model.desired import Desired
from reconciler.model.reports import Reports
from reconciler.pipeline import run_pass

ROUNDS = 5


def median_s(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median CPU seconds of `rounds` runs, garbage collected before each; nothing here waits for anything."""
    taken = []
    for _ in range(rounds):
        gc.collect()
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return statistics.median(taken)


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
    reports = applied_reports(desired)
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
    }
    gc.unfreeze()
    return results


def main() -> None:
    """Prints the table."""
    sizes = (
        ((20, 1000), (200, 10_000), (1000, 50_000)) if "--all" in sys.argv else ((20, 1000), (200, 10_000))
    )
    table = {size: measure(*size) for size in sizes}
    names = list(next(iter(table.values())))
    print(f"{'CPU seconds (median)':42}" + "".join(f"{vms:>12,} VMs" for _, vms in sizes))
    for name in names:
        print(f"{name:42}" + "".join(f"{table[size][name]:>16.3f}" for size in sizes))
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
