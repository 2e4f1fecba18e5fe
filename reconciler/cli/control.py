"""`ostler pause`, `resume`, `cancel` and `retry`: what a person tells the next passes, and the one that runs."""

from collections.abc import Mapping
from typing import Annotated

import typer

from reconciler.cli.confirmations import opened_store
from reconciler.cli.failures import CommandError
from reconciler.cli.output import ListFormat, ListOption, print_rows
from reconciler.cli.statuses import Status
from reconciler.model.names import KINDS
from reconciler.model.options import EVERYTHING
from reconciler.store.applies import Apply
from reconciler.store.store import Store

NAMES = {EVERYTHING: "everything"}
IdArgument = Annotated[
    str | None, typer.Argument(metavar="ID", help="A data center or object: dc/main, vm/web-1, host/h1 …")
]
AllOption = Annotated[bool, typer.Option("--all", help="Everything, in every data center.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("cancel")(cancel)
    app.command("retry")(retry)


def pause(
    identifier: IdArgument = None,
    everything: AllOption = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; every plan shows it.")] = "",
    output: ListOption = ListFormat.TABLE,
) -> int:
    """Plan nothing for an object, a data center or everything until it is resumed. Without arguments, list what is
    paused."""
    with opened_store() as store:
        if identifier is None and not everything:
            _list_pauses(store.pauses.all(), output)
            return Status.DONE
        scope = _scope(identifier, everything=everything)
        store.pauses.pause(scope, reason or "no reason given")
        store.history.add(scope, "Paused", reason or "no reason given")
        shown = NAMES.get(scope, scope)
        typer.echo(f"{shown} is paused; `ostler resume {_argument(scope)}` ends that", err=True)
        if running := [one for one in store.applies.running() if one.data_center]:
            typer.echo(
                f"apply {running[0].apply_id} has no end yet and is not touched; `ostler cancel` stops it",
                err=True,
            )
    return Status.DONE


def resume(identifier: IdArgument = None, everything: AllOption = False) -> int:
    """End a pause. Exits 1 if there is none."""
    scope = _scope(identifier, everything=everything)
    with opened_store() as store:
        if not store.pauses.resume(scope):
            paused = ", ".join(NAMES.get(one, one) for one in store.pauses.all()) or "nothing"
            raise CommandError(f"{NAMES.get(scope, scope)} is not paused; paused: {paused}")
        store.history.add(scope, "Resumed", "")
    typer.echo(f"{NAMES.get(scope, scope)} is planned again", err=True)
    return Status.DONE


def cancel(
    apply_id: Annotated[
        str | None,
        typer.Argument(metavar="APPLY_ID", help="Which apply, if several run; `ostler history` lists them."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the apply.")] = "",
) -> int:
    """Ask a running apply to start no more steps. Running steps are finished, and the next apply goes on from there."""
    with opened_store() as store:
        running = _find_running(store, apply_id)
        store.applies.request_stop(running.apply_id, f"cancelled{f': {reason}' if reason else ''}")
    typer.echo(f"apply {running.apply_id} starts no more steps; those that run are finished", err=True)
    return Status.DONE


def retry(
    identifier: Annotated[
        str, typer.Argument(metavar="ID", help="An object that failed too often, such as vm/web-1.")
    ],
) -> int:
    """Let the next pass try an object again that failed too often. Exits 1 if it has not failed."""
    with opened_store() as store:
        failing = store.attempts.all()
        if not store.attempts.forget(identifier):
            names = ", ".join(f"{name} ({one.failures})" for name, one in failing.items()) or "none"
            raise CommandError(f"{identifier} has no failures to forget; failing objects: {names}")
        store.history.add(identifier, "Retried", f"after {failing[identifier].failures} failing passes")
    typer.echo(f"{identifier} is tried again by the next apply or pass", err=True)
    return Status.DONE


def _scope(identifier: str | None, *, everything: bool) -> str:
    """What a pause is about. Raises a usage error where that is not clear."""
    if everything == (identifier is not None):
        raise typer.BadParameter("name one ID, or say --all")
    if identifier is None:
        return EVERYTHING
    prefix, _, name = identifier.partition("/")
    if prefix not in KINDS or not name:
        known = ", ".join(f"{one}/…" for one in KINDS)
        raise typer.BadParameter(f"{identifier} is no id; ids look like {known}", param_hint="ID")
    return identifier


def _argument(scope: str) -> str:
    """A scope as it is typed."""
    return "--all" if scope == EVERYTHING else scope


def _list_pauses(pauses: Mapping[str, str], output: ListFormat) -> None:
    """What is paused, and why."""
    rows = [(NAMES.get(scope, scope), reason) for scope, reason in pauses.items()]
    if not rows and output in (ListFormat.TABLE, ListFormat.WIDE):
        typer.echo("nothing is paused", err=True)
        return
    print_rows(rows, ("scope", "reason"), output)


def _find_running(store: Store, apply_id: str | None) -> Apply:
    """The apply to cancel. Ends the command if there is none, or several and none is named."""
    running = store.applies.running()
    if apply_id is None:
        if len(running) == 1:
            return running[0]
        if not running:
            raise CommandError("no apply runs with this store")
        names = ", ".join(one.apply_id for one in running)
        raise typer.BadParameter(f"{len(running)} applies run ({names}): name one", param_hint="APPLY_ID")
    found = next((one for one in running if one.apply_id == apply_id), None)
    if found is None:
        ended = store.applies.find(apply_id)
        state = f"it has ended: {ended.state}" if ended else "there is no such apply"
        raise CommandError(f"apply {apply_id} does not run; {state}")
    return found
