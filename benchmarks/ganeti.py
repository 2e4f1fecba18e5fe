"""Ganeti's `hbal` as peer and as judge: clusters in its text format, its runs, its score of any placement."""

import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reconciler.placement.balance.state import ClusterState, Integers

MIB = 1 << 20
OWN_MIB = 4096
"""What each node itself takes."""
POLICY = (
    "128,1,0,1,1,1|128,1,0,1,1,1;1048576,256,1048576,16,8,12|"
    "diskless,file,sharedfile,plain,blockdev,drbd,rbd,ext|4.0|32.0"
)


@dataclass(frozen=True, slots=True)
class HbalRun:
    """seconds: until it ended or was stopped; steps: that it printed; score: after the last of them; end: host by VM, if
    it ended."""

    seconds: float
    steps: int
    score: float
    end: Integers | None


def is_here() -> bool:
    """Whether hbal is installed."""
    return shutil.which("hbal") is not None


def score_of(state: ClusterState, host: Integers, directory: Path) -> float:
    """hbal's score of a placement of these VMs."""
    output = _run(_arguments(state, host, directory, "judged"), "-l", "0").stdout
    found = re.search(r"Initial (?:score: |coefficients: overall )([\d.]+)", output)
    assert found, output
    return float(found[1])


def balance(state: ClusterState, directory: Path, limit: float = 900.0) -> HbalRun:
    """hbal's own balancing, at most so many seconds long."""
    arguments = _arguments(state, state.vms.host, directory, "balanced")
    result = directory / "result"
    begin = time.perf_counter()
    with (directory / "steps").open("w") as steps:
        try:
            subprocess.run(
                [*arguments, "-S", result],
                stdout=steps,
                stderr=subprocess.DEVNULL,
                timeout=limit,
                check=False,
            )
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
    seconds = time.perf_counter() - begin
    output = (directory / "steps").read_text()
    scores = [float(one) for one in re.findall(r"^ *\d+\. .* ([\d.]+) a=", output, re.MULTILINE)]
    first = re.search(r"Initial score: ([\d.]+)", output)
    last = scores[-1] if scores else float(first[1]) if first else float("nan")
    saved = Path(f"{result}.balanced")
    end = _read_places(state, saved) if ended and saved.exists() else state.vms.host if ended else None
    return HbalRun(seconds, len(scores), last, end)


def _run(arguments: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*arguments, *more], capture_output=True, text=True, check=False)


def _arguments(state: ClusterState, host: Integers, directory: Path, name: str) -> list[str]:
    """The command, on a file with the placement; and the VMs' load, where they have any."""
    path = directory / name
    path.write_text(_text(state, host))
    if not state.vms.load_percent.any():
        return ["hbal", "-t", str(path)]
    use = directory / "load"
    use.write_text(_loads(state))
    return ["hbal", "-t", str(path), "-U", str(use)]


def _text(state: ClusterState, host: Integers) -> str:
    """Groups, nodes, instances, tags and policies; shared storage."""
    hosts, vms = state.hosts, state.vms
    used = np.zeros(len(hosts.cpus), dtype=np.int64)
    np.add.at(used, host, vms.memory_bytes)
    nodes = [
        f"host{n:04d}|{total // MIB + OWN_MIB}|{OWN_MIB}|{(total - used[n]) // MIB}|0|0|{hosts.cpus[n]}|"
        f"{'N' if n else 'M'}|fake-uuid-01|1"
        for n, total in enumerate(hosts.memory_bytes)
    ]
    instances = [
        f"vm{n:05d}|{size // MIB}|0|{vms.vcpus[n]}|running|Y|host{host[n]:04d}||ext||1"
        for n, size in enumerate(vms.memory_bytes)
    ]
    parts = [["g1|fake-uuid-01|preferred||"], nodes, instances, [""], [f"|{POLICY}", f"g1|{POLICY}"]]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _loads(state: ClusterState) -> str:
    """Each VM's CPU load, 1 on the mean; memory, disk and network count each VM as 1, as hbal does by itself."""
    mean = float(state.vms.load_percent.mean())
    return "".join(f"vm{n:05d} {one / mean:.4f} 1 1 1\n" for n, one in enumerate(state.vms.load_percent))


def _read_places(state: ClusterState, path: Path) -> Integers:
    """Host by VM from the text that hbal saved."""
    found = re.findall(r"^vm(\d+)\|.*\|host(\d+)\|\|ext", path.read_text(), re.MULTILINE)
    host = state.vms.host.copy()
    for vm, place in found:
        host[int(vm)] = int(place)
    return host
