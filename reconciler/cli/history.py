"""`ostler history`: what this installation did, newest last, from its store."""

import time
from collections.abc import Mapping
from typing import Annotated

import typer

from reconciler.cli.confirmations import opened_store
from reconciler.cli.failures import CommandError
from reconciler.cli.happenings import happenings_of
from reconciler.cli.home import find_home
from reconciler.cli.naming import CenterOption, find_center
from reconciler.cli.output import ListFormat, ListOption, print_rows
from reconciler.cli.statuses import Status
from reconciler.store.applies import Apply
from reconciler.store.store import Store

LimitOption = Annotated[
    int, typer.Option("--limit", min=1, max=100_000, help="How many lines, the latest ones.")
]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("history")(history)


def history(
    identifier: Annotated[
        str | None,
        typer.Argument(
            metavar="ID", help="An object (vm/web-1) for what happened to it, or an apply for its steps."
        ),
    ] = None,
    limit: LimitOption = 50,
    data_center: CenterOption = None,
    output: ListOption = ListFormat.TABLE,
) -> int:
    """List applies; with an ID what happened to an object, or the steps of an apply. Exits 1 if nothing is known."""
    if not find_home().has_store:
        raise CommandError(f"{find_home().store} does not exist: nothing was applied from here yet")
    with opened_store() as store:
        center = find_center(store.centers.all(), data_center) if data_center else None
        if identifier is None:
            _list_applies(store, center, limit, output)
        elif (found := store.applies.find(identifier)) is not None:
            _list_steps(store, found, output)
        else:
            _list_events(store, identifier, center, limit, output)
    return Status.DONE


def _list_applies(store: Store, center: str | None, limit: int, output: ListFormat) -> None:
    """The latest applies, of one data center (uuid) if it is given."""
    centers = _shown(store.centers.all())
    rows = [
        (one.apply_id, centers.get(one.data_center, one.data_center), _when(one.began_ms), _took(one), one.state,
         one.plan_id[:12], one.detail)
        for one in reversed(store.applies.latest(limit, center))
    ]  # fmt: skip
    columns = ("apply", "data center", "began", "took", "state", "plan", "detail")
    print_rows(rows, columns, output, ("plan", *_needless(centers, center)))


def _shown(centers: Mapping[str, str]) -> dict[str, str]:
    """Data centers by uuid as people tell them apart."""
    names = list(centers.values())
    return {uuid: f"{name} ({uuid})" if names.count(name) > 1 else name for uuid, name in centers.items()}


def _needless(centers: Mapping[str, str], chosen: str | None) -> tuple[str, ...]:
    """The column that says nothing new where there is one data center."""
    return ("data center",) if chosen or len(centers) < 2 else ()


def _list_steps(store: Store, apply: Apply, output: ListFormat) -> None:
    """Every step of an apply that was begun, with its end."""
    began, ends = {}, {}
    for entry in store.journal.entries(apply.apply_id):
        if entry.event == "begin":
            began[entry.step.step_id] = entry
        else:
            ends[entry.step.step_id] = entry
    rows = []
    for name, entry in began.items():
        end = ends.get(name)
        outcome = end.outcome if end else None
        state = outcome.state.value if outcome else "no end recorded"
        took = f"{outcome.elapsed_ms / 1000:.1f} s" if outcome else "-"
        rows.append(
            (
                name,
                entry.step.host,
                _when(entry.wallclock_ms),
                took,
                state,
                outcome.summary if outcome else "",
            )
        )
    print_rows(rows, ("step", "host", "began", "took", "state", "detail"), output)


def _list_events(store: Store, identifier: str, center: str | None, limit: int, output: ListFormat) -> None:
    """What happened to the objects of this id, of one data center (uuid) if it is given. Ends the command if nothing is
    known."""
    centers = _shown(store.centers.all())
    events = happenings_of(store, identifier, center, limit)
    if not events:
        raise CommandError(
            f"nothing is known of {identifier}: no apply and no event of that name is in the store"
        )
    rows = [
        (
            _when(one.wallclock_ms),
            centers.get(one.data_center, one.data_center) or None,
            one.reason,
            one.message,
        )
        for one in events
    ]
    print_rows(rows, ("when", "data center", "what", "detail"), output, _needless(centers, center))


def _when(wallclock_ms: int) -> str:
    """Wall-clock ms as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wallclock_ms / 1000))


def _took(one: Apply) -> str:
    """How long an apply took."""
    if one.ended_ms is None:
        return "-"
    seconds = max(0, one.ended_ms - one.began_ms) / 1000
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
