"""`ostler pause`, `resume`, `cancel` and `retry`: what a person tells the next passes, and the one that runs."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from reconciler.cli.confirmations import opened_store
from reconciler.cli.failures import CommandError
from reconciler.cli.loading import load_manifests, show_problems
from reconciler.cli.naming import CenterOption, find_center, shown_names
from reconciler.cli.nearness import did_you_mean
from reconciler.cli.output import ListFormat, ListOption, print_rows
from reconciler.cli.statuses import Status
from reconciler.model.names import KINDS
from reconciler.model.options import EVERYTHING
from reconciler.store.applies import Apply
from reconciler.store.memories import ANYWHERE
from reconciler.store.store import Store

NAMES = {EVERYTHING: "everything"}
RECENT = 10_000
"""Events of the history in which an object is looked for."""
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
    data_center: CenterOption = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; every plan shows it.")] = "",
    file: Annotated[
        list[str] | None, typer.Option("--file", "-f", help="Manifests in which the ID has to be declared.")
    ] = None,
    output: ListOption = ListFormat.TABLE,
) -> int:
    """Plan nothing for an object, a data center or everything until it is resumed. Without arguments, list what is
    paused."""
    with opened_store() as store:
        if identifier is None and not everything:
            _list_pauses(store, output)
            return Status.DONE
        scope = _scope(identifier, everything=everything)
        if scope != EVERYTHING:
            _check_known(store, scope, file)
        center = _center_to_pause(store.centers.all(), scope, data_center)
        store.pauses.pause(center, scope, reason or "no reason given")
        store.history.add(scope, "Paused", reason or "no reason given", center)
        shown = _shown(store.centers.all(), center, scope)
        typer.echo(f"{shown} is paused; `ostler resume {_argument(scope)}` ends that", err=True)
        if running := [one for one in store.applies.running() if one.data_center]:
            typer.echo(
                f"apply {running[0].apply_id} has no end yet and is not touched; `ostler cancel` stops it",
                err=True,
            )
    return Status.DONE


def resume(
    identifier: IdArgument = None, everything: AllOption = False, data_center: CenterOption = None
) -> int:
    """End a pause. Exits 1 if there is none."""
    scope = _scope(identifier, everything=everything)
    with opened_store() as store:
        centers, pauses = store.centers.all(), store.pauses.all()
        wanted = find_center(centers, data_center) if data_center else None
        found = [one for one in pauses if one.scope == scope and wanted in (None, one.data_center)]
        if not found:
            paused = ", ".join(_shown(centers, one.data_center, one.scope) for one in pauses) or "nothing"
            raise CommandError(f"{NAMES.get(scope, scope)} is not paused; paused: {paused}")
        _refuse_several(centers, [one.data_center for one in found], f"{scope} is paused in")
        store.pauses.resume(found[0].data_center, scope)
        store.history.add(scope, "Resumed", "", found[0].data_center)
    typer.echo(f"{_shown(centers, found[0].data_center, scope)} is planned again", err=True)
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
    data_center: CenterOption = None,
) -> int:
    """Let the next pass try an object again that failed too often. Exits 1 if it has not failed."""
    with opened_store() as store:
        centers = store.centers.all()
        wanted = find_center(centers, data_center) if data_center else None
        failing = {uuid: store.attempts.all(uuid) for uuid in centers if wanted in (None, uuid)}
        found = [uuid for uuid, objects in failing.items() if identifier in objects]
        if not found:
            counts = [
                f"{name} ({one.failures})" for objects in failing.values() for name, one in objects.items()
            ]
            names = ", ".join(counts) or "none"
            raise CommandError(f"{identifier} has no failures to forget; failing objects: {names}")
        _refuse_several(centers, found, f"{identifier} fails in")
        store.attempts.forget(found[0], identifier)
        failures = failing[found[0]][identifier].failures
        store.history.add(identifier, "Retried", f"after {failures} failing passes", found[0])
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


def _check_known(store: Store, scope: str, paths: Sequence[str] | None) -> None:
    """Ends the command if manifests are given and do not declare the object. Without them a pause may come before the
    first apply, so that what nobody has heard of is only said."""
    if paths:
        loaded = load_manifests(paths)
        show_problems(loaded.problems)
        known = {one for desired in loaded.desired.values() for one in shown_names(desired)}
        if scope not in known:
            near = did_you_mean(scope, known, "`ostler get KIND` lists what is")
            raise CommandError(f"{scope} is not declared in these manifests; {near}")
        return
    heard = {one.object for one in store.history.latest(limit=RECENT)} | {*store.centers.all().values()}
    if heard and scope not in heard:
        near = did_you_mean(scope, heard, "with -f PATH it is looked up in manifests")
        typer.echo(f"warning: nothing is known here of {scope}; {near}", err=True)


def _argument(scope: str) -> str:
    """A scope as it is typed."""
    return "--all" if scope == EVERYTHING else scope


def _center_to_pause(centers: Mapping[str, str], scope: str, wanted: str | None) -> str:
    """The uuid of the data center that a pause is about. What is paused before anything was applied from here is
    paused anywhere, and so is everything."""
    if wanted is not None:
        return find_center(centers, wanted)
    if scope == EVERYTHING:
        return ANYWHERE
    found = [uuid for uuid, name in centers.items() if name == scope or not scope.startswith("dc/")]
    _refuse_several(centers, found, f"{scope} may be in")
    return found[0] if found else ANYWHERE


def _refuse_several(centers: Mapping[str, str], found: Sequence[str], what: str) -> None:
    """A usage error where it is not clear which data center is meant."""
    if len(found) > 1:
        names = ", ".join(f"{centers.get(uuid, 'any')} ({uuid})" if uuid else "any" for uuid in found)
        raise typer.BadParameter(f"{what} {names}: say which", param_hint="--data-center")


def _shown(centers: Mapping[str, str], center: str, scope: str) -> str:
    """`vm/web-1 of dc/main`: what is paused, and where."""
    name = NAMES.get(scope, scope)
    return f"{name} of {centers.get(center, center)}" if center and centers.get(center) != scope else name


def _list_pauses(store: Store, output: ListFormat) -> None:
    """What is paused, and why."""
    centers = store.centers.all()
    rows = [
        (NAMES.get(one.scope, one.scope), centers.get(one.data_center, one.data_center) or "any", one.reason)
        for one in store.pauses.all()
    ]
    if not rows and output in (ListFormat.TABLE, ListFormat.WIDE):
        typer.echo("nothing is paused", err=True)
        return
    print_rows(rows, ("scope", "data center", "reason"), output)


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
