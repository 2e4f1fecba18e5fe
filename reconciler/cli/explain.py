"""`ostler explain`: why a VM is where it is, what a step is for, what changing a field does."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import typer

from reconciler.cli.comparing import find_differences, with_policy
from reconciler.cli.failures import CommandError
from reconciler.cli.loading import load_data_center
from reconciler.cli.naming import find_id, shown_names
from reconciler.cli.nearness import did_you_mean
from reconciler.cli.output import Format, FormatOption, ListFormat, print_json, print_rows
from reconciler.cli.passes import make_pass
from reconciler.cli.plan import DataCenterOption
from reconciler.cli.statuses import Status
from reconciler.diffing.fields import IDENTITY, TABLE, rules_for
from reconciler.model.change import Alert, Blocked, Deferred
from reconciler.model.placement import Explanation, HostVerdict
from reconciler.model.plan import Plan, Step
from reconciler.pipeline import Pass, run_pass
from reconciler.placement.explain import explain_vm
from reconciler.planfile.text import alert_line, blocked_line, deferred_line

INDEX = re.compile(r"\[[^]]*\]")


@dataclass(frozen=True, slots=True)
class Part:
    """What a plan has to do with one object, host or step. placement: for VMs that are declared."""

    id: str
    placement: Explanation | None
    steps: tuple[Step, ...]
    blocked: tuple[Blocked, ...]
    deferred: tuple[Deferred, ...]
    alerts: tuple[Alert, ...]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("explain")(explain)


def explain(
    identifier: Annotated[
        str | None, typer.Argument(metavar="ID", help="vm/web-1, host/h1, vm/web-1#migrate, or a spec.name.")
    ] = None,
    field: Annotated[
        str | None,
        typer.Option("--field", help="What changing a field does, e.g. vm.memory; `all` for the table."),
    ] = None,
    file: Annotated[list[str] | None, typer.Option("--file", "-f", help="Manifests.")] = None,
    data_center: DataCenterOption = None,
    observed: Annotated[str | None, typer.Option("--observed", help="Explain offline.")] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy", help="As if the cluster had this scheduling policy; of a cluster: what differs."
        ),
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", help="Of a VM: this host alone; exits 3 if it may not run there.")
    ] = None,
    output: FormatOption = Format.TEXT,
) -> int:
    """Say why: a VM's placement host by host, an object's or step's part in the plan, a field's effect. Exits 1 if there
    is no such object, step or field."""
    if field is not None:
        return _explain_field(field, output)
    if identifier is None or not file:
        raise typer.BadParameter(
            "name an object and its manifests (ostler explain vm/web-1 -f PATH), or --field NAME"
        )
    desired, _ = load_data_center(file, data_center)
    identifier = find_id(identifier, shown_names(desired)) or identifier
    done = make_pass(desired, observed)
    if policy is not None:
        other = _pass_with(done, identifier, policy)
        if identifier in desired.clusters:
            return _show_differences(done, other, identifier, policy, output)
        done = other
    part = _find_part(done, identifier)
    if on is not None:
        return _show_host(part, on, output)
    if output is Format.JSON:
        print_json(part)
        return Status.DONE
    if part.placement is not None:
        _show_placement(part.placement)
    _show_part(part, {one.uuid: name for name, one in done.desired.hosts.items()})
    return Status.DONE


def _pass_with(done: Pass, identifier: str, policy: str) -> Pass:
    """The same pass with another policy for a cluster, or for the cluster of a VM."""
    vm = done.desired.vms.get(identifier)
    cluster = vm.cluster if vm is not None else identifier
    if cluster not in done.desired.clusters:
        raise typer.BadParameter("a policy is for a VM or a cluster", param_hint="--policy")
    return run_pass(with_policy(done.desired, cluster, policy), done.reports)


def _show_differences(done: Pass, other: Pass, cluster: str, policy: str, output: Format) -> int:
    """VMs that another policy would place elsewhere."""
    found = list(find_differences(done, other, cluster))
    if output is Format.JSON:
        print_json(found)
    elif not found:
        typer.echo(f"{cluster}: policy {policy} places every VM where it is placed now")
    else:
        rows = [(one.vm, one.now or "nowhere", one.then or "nowhere") for one in found]
        print_rows(rows, ("vm", "now", f"with {policy}"), ListFormat.TABLE)
    return Status.DONE


def _show_host(part: Part, on: str, output: Format) -> int:
    """What speaks for and against one host for a VM. Exits 3 if a filter drops it."""
    verdicts = part.placement.verdicts if part.placement is not None else ()
    verdict = next((one for one in verdicts if one.host in (on, f"host/{on}")), None)
    if verdict is None:
        known = [one.host for one in verdicts]
        raise CommandError(f"{on} is no host of its cluster; {did_you_mean(on, known, ', '.join(known))}")
    if output is Format.JSON:
        print_json(verdict)
    else:
        print_rows([_verdict_row(verdict)], ("host", "verdict", "details"), ListFormat.TABLE)
    return Status.DONE if verdict.filter is None else Status.BLOCKED


def _explain_field(field: str, output: Format) -> int:
    """Rows of the field table."""
    from reconciler.desired.structure import declared_fields

    name, known = INDEX.sub("", field), declared_fields()
    kinds = {one.partition(".")[0] for one in known}
    if name not in (*known, *kinds, "all"):
        others = [one for one in known if one.partition(".")[0] == name.partition(".")[0]]
        scopes = ", ".join(f"{kind}.…" for kind in sorted(kinds))
        raise CommandError(f"no field {name}; {did_you_mean(name, others or known, f'there is {scopes}')}")
    rules = (*TABLE, *IDENTITY) if name == "all" else rules_for(name)
    if output is Format.JSON:
        print_json(rules)
        return Status.DONE
    rows = [(one.field, one.effect.value, one.when, one.note) for one in rules]
    print_rows(rows, ("field", "effect", "when", "what happens"), ListFormat.TABLE)
    return Status.DONE


def _find_part(done: Pass, identifier: str) -> Part:
    """What there is to say of an id. Ends the command if nothing has it."""
    plan = done.plan
    named = shown_names(done.desired)
    known = {*named, *_planned_ids(plan)}
    if identifier not in known:
        identifier = find_id(identifier, named) or identifier
    if identifier not in known:
        near = did_you_mean(identifier, known, "`ostler get KIND` lists what is declared")
        raise CommandError(f"there is no {identifier}; {near}")
    placement = None
    if identifier in done.desired.vms:
        placement = explain_vm(done.desired, done.observed, done.identities, done.placement, identifier)
    return Part(
        identifier,
        placement,
        tuple(one for one in plan.steps if identifier in (one.id, one.object, one.host)),
        tuple(one for one in plan.blocked if one.object == identifier),
        tuple(one for one in plan.deferred if one.object == identifier),
        tuple(one for one in plan.alerts if one.object == identifier),
    )


def _planned_ids(plan: Plan) -> Iterator[str]:
    """What the plan speaks of: also objects whose manifest is gone, and steps."""
    for step in plan.steps:
        yield from (step.id, step.object, step.host)
    yield from (one.object for one in plan.blocked)
    yield from (one.object for one in plan.deferred)
    yield from (one.object for one in plan.alerts)


def _show_placement(explanation: Explanation) -> None:
    """The assignment, and each host's verdict."""
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


def _verdict_row(one: HostVerdict) -> tuple[str, str, str]:
    """One host: dropped by which filter and why, or its rank and scores."""
    if one.filter is not None:
        return (one.host, f"dropped by {one.filter}", one.reason)
    parts = ", ".join(f"{w.unit} score {w.score} rank {w.rank}×{w.factor}" for w in one.weights)
    return (one.host, f"rank {one.total}", parts)


def _show_part(part: Part, hosts: Mapping[str, str]) -> None:
    """Steps with all their edges, blocks, delays and alerts. hosts: ids by uuid."""
    for step in part.steps:
        _show_step(step, hosts)
    for one in part.blocked:
        typer.echo(f"blocked: {blocked_line(one)}")
    for late in part.deferred:
        typer.echo(f"deferred: {deferred_line(late)}")
    for alert in part.alerts:
        typer.echo(f"alert: {alert_line(alert)}")
    if not (part.placement or part.steps or part.blocked or part.deferred or part.alerts):
        typer.echo(f"{part.id}: this plan does nothing to it")


def _show_step(step: Step, hosts: Mapping[str, str]) -> None:
    """A step in full."""
    typer.echo(f"{step.id} on {step.host}: {step.summary}")
    for reason in step.because:
        typer.echo(f"  because   {reason.rule} {reason.ref}".rstrip())
    for edge in step.after:
        typer.echo(f"  after     {edge.step} ({edge.rule}, on {edge.kind})")
    for expected in step.expects:
        typer.echo(f"  expects   {expected.subject} {expected.field} = {expected.value}")
    if step.evidence is not None:
        proofs = ", ".join(f"{hosts.get(one.host, one.host)} {one.kind}" for one in step.evidence.hosts)
        typer.echo(
            f"  evidence  {step.evidence.basis}, run {step.evidence.run}{f': {proofs}' if proofs else ''}"
        )
    typer.echo(f"  disrupts  {step.disruption.value}")
    estimate = step.estimate
    typer.echo(
        f"  estimate  {estimate.seconds} s, {estimate.bytes} bytes, downtime {estimate.downtime_ms} ms"
    )
