"""Manifests from the command line's paths to one data center's desired state, or every problem at once."""

import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import typer

from nodeagent.wire.codec import ContractError, decode
from reconciler.cli.failures import CommandError
from reconciler.cli.files import read_file
from reconciler.cli.naming import find_id
from reconciler.cli.statuses import Status
from reconciler.desired.build import build_desired
from reconciler.desired.fitting import check_against_hosts
from reconciler.desired.places import Places
from reconciler.desired.read import read_paths
from reconciler.model.desired import Desired
from reconciler.model.fitting import HostCapacity
from reconciler.model.reports import Reports
from reconciler.problems import Problem, has_errors, sort_problems


@dataclass(frozen=True, slots=True)
class Loaded:
    """Manifests as read: declared data centers by id, all problems, and where every field stands."""

    desired: Mapping[str, Desired]
    problems: tuple[Problem, ...]
    places: Places


@contextmanager
def long_lived() -> Iterator[None]:
    """What is made in the block lives as long as the command: the collector need not look at it again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load_manifests(paths: Sequence[str]) -> Loaded:
    """Reads files, directories and `-`; nothing is refused here, problems travel with the result."""
    with long_lived():
        manifests = read_paths(list(paths), sys.stdin.buffer)
        desired, problems = build_desired(manifests.documents)
    return Loaded(desired, sort_problems((*manifests.problems, *problems)), Places(manifests.documents))


def show_problems(problems: Sequence[Problem]) -> None:
    """Every problem on a line of its own, on stderr."""
    for problem in problems:
        typer.echo(str(problem), err=True)


def load_data_center(paths: Sequence[str], name: str | None = None) -> tuple[Desired, Loaded]:
    """The one data center that a plan is for. Ends the command with all problems if there is an error among them."""
    loaded = load_manifests(paths)
    show_problems(loaded.problems)
    if has_errors(loaded.problems):
        count = sum(1 for one in loaded.problems if has_errors((one,)))
        raise CommandError(f"{count} error{'s' if count != 1 else ''}; nothing was planned", Status.ERROR)
    if name is not None:
        centers = {one: desired.data_center.meta.name for one, desired in loaded.desired.items()}
        wanted = find_id(name, centers, "dc")
        if wanted is None:
            known = ", ".join(loaded.desired) or "none"
            raise CommandError(f"no data center {name} in these manifests; there is {known}")
        return loaded.desired[wanted], loaded
    if len(loaded.desired) != 1:
        names = ", ".join(loaded.desired) or "none"
        raise CommandError(
            f"these manifests declare {len(loaded.desired)} data centers ({names}); choose with --data-center"
        )
    return next(iter(loaded.desired.values())), loaded


def load_reports(path: str) -> Reports:
    """An observed file that `ostler observe` wrote."""
    content = read_file(Path(path), "an observed file, as `ostler observe --out` writes it")
    try:
        with long_lived():
            return decode(content, Reports)
    except (ContractError, msgspec.MsgspecError) as error:
        raise CommandError(
            f"{path}: not an observed file: {error}; make one with `ostler observe --out FILE`"
        ) from error


def find_oversized(desired: Desired, reports: Reports, places: Places | None = None) -> tuple[Problem, ...]:
    """Problems of VMs that are larger than every host that may run them. They stop nothing but these VMs' own starts,
    which the plan shows as blocked; here they have their file and line."""
    capacities = {
        one.host: HostCapacity(
            one.state.capabilities.memory_bytes, one.state.capabilities.cores, one.state.capabilities.threads
        )
        for one in reports.hosts
        if one.state is not None
    }
    return check_against_hosts(desired, capacities, places)
