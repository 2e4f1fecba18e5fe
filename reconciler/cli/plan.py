"""`ostler plan`: what would be done, and why; writes a plan file with --out."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.dumping import dump_pass
from reconciler.cli.files import write_file
from reconciler.cli.loading import find_oversized, load_data_center, show_problems
from reconciler.cli.passes import make_pass
from reconciler.cli.secrets import SecretsOption, digests_here
from reconciler.cli.signing import can_sign
from reconciler.cli.statuses import Status
from reconciler.model.change import Disruption
from reconciler.model.options import PassOptions
from reconciler.model.placement import Shortfall
from reconciler.model.plan import Plan
from reconciler.pipeline import Pass
from reconciler.planfile.canonical import plan_digest
from reconciler.planfile.encode import encode_plan
from reconciler.planfile.text import render_text
from reconciler.planfile.unmet import unmet_lines

REDUNDANT = "n+1"


class PlanFormat(StrEnum):
    """Ways to show a plan."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


PathsOption = Annotated[
    list[str], typer.Option("--file", "-f", help="Files, directories, or - for standard input.")
]
DataCenterOption = Annotated[
    str | None, typer.Option("--data-center", help="Which one, if there are several.")
]
PruneOption = Annotated[
    int,
    typer.Option(
        "--allow-prune",
        min=0,
        show_default=False,
        help="Manifests may drop up to so many objects at once. Without it 10 % of them, at most 10, at least 2.",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("plan")(plan)


def plan(
    file: PathsOption,
    data_center: DataCenterOption = None,
    observed: Annotated[
        str | None, typer.Option("--observed", help="Plan offline from what `ostler observe` wrote.")
    ] = None,
    output: Annotated[
        PlanFormat, typer.Option("--output", "-o", help="text, json, markdown or html.")
    ] = PlanFormat.TEXT,
    out: Annotated[Path | None, typer.Option("--out", help="Write the plan file here.")] = None,
    dump: Annotated[
        Path | None,
        typer.Option("--dump", help="Write every value between manifests and plan into this directory."),
    ] = None,
    fail_on: Annotated[
        str, typer.Option("--fail-on", help="Exit 3 if a step disturbs like this, e.g. power-off,data-loss.")
    ] = "",
    require: Annotated[
        str,
        typer.Option(
            "--require",
            help="Exit 3 unless this holds after the plan: n+1, each cluster can lose any one host.",
        ),
    ] = "",
    allow_prune: PruneOption = 0,
    secrets: SecretsOption = None,
) -> int:
    """Show the ordered plan. Exits 0 with nothing to do, 2 with steps, 3 if something is blocked or a requirement is
    unmet, 1 on errors."""
    refused = _disruptions(fail_on)
    if require not in ("", REDUNDANT):
        raise typer.BadParameter(f"{require}: there is {REDUNDANT}", param_hint="--require")
    desired, loaded = load_data_center(file, data_center)
    digests = digests_here(desired, secrets)
    options = PassOptions(allow_prune=allow_prune, signs=can_sign(), secret_digests=digests)
    done = make_pass(desired, observed, options)
    show_problems(find_oversized(desired, done.reports, loaded.places))
    made = done.plan
    if dump is not None:
        dump_pass(dump, done)
    if out is not None:
        sources = [one if one == "-" else str(Path(one).absolute()) for one in file]
        write_file(out, encode_plan(made, sources))
    unmet = _shortfalls(done) if require else ()
    show_plan(made, output, unmet)
    status = status_of(made, refused)
    return Status.BLOCKED if unmet and status is not Status.ERROR else status


def _shortfalls(done: Pass) -> tuple[Shortfall, ...]:
    """Hosts that a cluster cannot lose once the plan is carried out."""
    from reconciler.placement.spare import find_shortfalls

    return find_shortfalls(done.desired, done.observed, done.identities, done.powers, done.placement)


def show_plan(made: Plan, output: PlanFormat, unmet: Sequence[Shortfall] = ()) -> None:
    """A plan on stdout; as text with its digest above it. unmet: what its requirements found."""
    lines = unmet_lines(unmet)
    if output is PlanFormat.JSON:
        typer.echo(encode_plan(made, unmet=unmet).decode(), nl=False)
    elif output is PlanFormat.MARKDOWN:
        from reconciler.planfile.markdown import render_markdown

        typer.echo(render_markdown(made, lines), nl=False)
    elif output is PlanFormat.HTML:
        from reconciler.planfile.page import render_page

        typer.echo(render_page(made, lines), nl=False)
    else:
        typer.echo(f"digest {plan_digest(made)}")
        typer.echo(render_text(made, lines), nl=False)


def status_of(made: Plan, refused: frozenset[Disruption] = frozenset()) -> int:
    """The exit status that a plan stands for."""
    if made.problems:
        return Status.ERROR
    if made.blocked or any(step.disruption in refused for step in made.steps):
        return Status.BLOCKED
    return Status.STEPS if made.steps else Status.DONE


def _disruptions(names: str) -> frozenset[Disruption]:
    """`power-off,data-loss` as disruptions. Raises a usage error for others."""
    known = {one.value: one for one in Disruption}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    wrong = [name for name in wanted if name not in known]
    if wrong:
        raise typer.BadParameter(
            f"{', '.join(wrong)}: choose from {', '.join(known)}", param_hint="--fail-on"
        )
    return frozenset(known[name] for name in wanted)
