"""`ostler explain`: why a VM is where it is, what a step is for, what changing a field does."""

import re
from typing import Annotated

import typer

from reconciler.cli.failures import CommandError
from reconciler.cli.loading import load_data_center
from reconciler.cli.output import Format, FormatOption, ListFormat, print_json, print_rows
from reconciler.cli.passes import make_pass
from reconciler.cli.plan import DataCenterOption
from reconciler.cli.statuses import Status
from reconciler.diffing.fields import TABLE, rules_for
from reconciler.model.placement import Explanation, HostVerdict
from reconciler.model.plan import Plan, Step
from reconciler.pipeline import Pass
from reconciler.placement.explain import explain_vm
from reconciler.planfile.text import blocked_line, deferred_line

INDEX = re.compile(r"\[[^]]*\]")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("explain")(explain)


def explain(
    identifier: Annotated[
        str | None, typer.Argument(metavar="ID", help="vm/web-1, host/h1, vm/web-1#migrate …")
    ] = None,
    field: Annotated[
        str | None,
        typer.Option("--field", help="What changing a field does, e.g. vm.memory; `all` for the table."),
    ] = None,
    file: Annotated[list[str] | None, typer.Option("--file", "-f", help="Manifests.")] = None,
    data_center: DataCenterOption = None,
    observed: Annotated[str | None, typer.Option("--observed", help="Explain offline.")] = None,
    output: FormatOption = Format.TEXT,
) -> int:
    """Say why: a VM's placement host by host, an object's or step's part in the plan, a field's effect."""
    if field is not None:
        return _explain_field(field, output)
    if identifier is None or not file:
        raise typer.BadParameter(
            "name an object and its manifests (ostler explain vm/web-1 -f PATH), or --field NAME"
        )
    desired, _ = load_data_center(file, data_center)
    done = make_pass(desired, observed)
    if identifier in desired.vms:
        explanation = explain_vm(done.desired, done.observed, done.identities, done.placement, identifier)
        if output is Format.JSON:
            print_json(explanation)
        else:
            _show_placement(done, explanation)
        return Status.DONE
    _show_part(done.plan, identifier)
    return Status.DONE


def _explain_field(field: str, output: Format) -> int:
    """Rows of the field table."""
    rules = TABLE if field == "all" else rules_for(INDEX.sub("", field))
    if not rules:
        names = ", ".join(
            sorted({one.field for one in TABLE if one.field.split(".")[0] == field.split(".", maxsplit=1)[0]})
        )
        raise CommandError(
            f"no field {field}; there is {names or 'vm.*, disk.*, host.*, net.*, sd.*, cluster.*, dc.*'}"
        )
    if output is Format.JSON:
        print_json(rules)
        return Status.DONE
    rows = [(one.field, one.effect.value, one.when, one.note) for one in rules]
    print_rows(rows, ("field", "effect", "when", "what happens"), ListFormat.TABLE)
    return Status.DONE


def _show_placement(done: Pass, explanation: Explanation) -> None:
    """The assignment, each host's verdict, and what the plan does."""
    assignment = explanation.assignment
    if assignment is None:
        typer.echo(
            f"{explanation.vm}: not placed in this pass: it is not to run, or it is not known where it runs"
        )
    else:
        where = assignment.host or "nowhere"
        why = f" ({assignment.because})" if assignment.because else ""
        typer.echo(f"{explanation.vm}: {assignment.outcome.value}, {where}{why}")
    rows = [_verdict_row(one) for one in explanation.verdicts]
    print_rows(rows, ("host", "verdict", "details"), ListFormat.TABLE)
    _show_part(done.plan, explanation.vm, quiet=True)


def _verdict_row(one: HostVerdict) -> tuple[str, str, str]:
    """One host: dropped by which filter and why, or its rank and scores."""
    if one.filter is not None:
        return (one.host, f"dropped by {one.filter}", one.reason)
    parts = ", ".join(f"{w.unit} score {w.score} rank {w.rank}×{w.factor}" for w in one.weights)
    return (one.host, f"rank {one.total}", parts)


def _show_part(plan: Plan, identifier: str, *, quiet: bool = False) -> None:
    """Steps, blocks and delays of one object, or one step with all its edges."""
    steps = [one for one in plan.steps if identifier in (one.id, one.object, one.host)]
    for step in steps:
        _show_step(step)
    blocked = [one for one in plan.blocked if one.object == identifier]
    deferred = [one for one in plan.deferred if one.object == identifier]
    for one in blocked:
        typer.echo(f"blocked: {blocked_line(one)}")
    for late in deferred:
        typer.echo(f"deferred: {deferred_line(late)}")
    if not quiet and not steps and not blocked and not deferred:
        typer.echo(f"{identifier}: this plan does nothing to it")


def _show_step(step: Step) -> None:
    """A step in full."""
    typer.echo(f"{step.id} on {step.host}: {step.summary}")
    for reason in step.because:
        typer.echo(f"  because   {reason.rule} {reason.ref}".rstrip())
    for edge in step.after:
        typer.echo(f"  after     {edge.step} ({edge.rule}, on {edge.kind})")
    for expected in step.expects:
        typer.echo(f"  expects   {expected.subject} {expected.field} = {expected.value}")
    if step.evidence is not None:
        hosts = ", ".join(f"{one.host} {one.kind}" for one in step.evidence.hosts)
        typer.echo(
            f"  evidence  {step.evidence.basis}, run {step.evidence.run}{f': {hosts}' if hosts else ''}"
        )
    typer.echo(f"  disrupts  {step.disruption.value}")
    estimate = step.estimate
    typer.echo(
        f"  estimate  {estimate.seconds} s, {estimate.bytes} bytes, downtime {estimate.downtime_ms} ms"
    )
