"""CustomResourceDefinitions as YAML files: what lies in crds/ and what `ostler crds` prints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from reconciler.cli.statuses import Status
from reconciler.desired.crds import build_crds

_HEADER: Final = "# Made by `ostler crds` from the schemas in reconciler/desired/schema; not to be edited.\n"


class _Dumper(yaml.SafeDumper):
    """Writes lists indented under their key, and never an alias."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists like mappings."""
        del indentless
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        """Repeat a value that stands twice."""
        del data
        return True


def render_crds() -> Mapping[str, str]:
    """YAML text by file name, always the same bytes for the same schemas."""
    return {name: _HEADER + _render(crd) for name, crd in build_crds().items()}


def _render(crd: Mapping[str, Any]) -> str:
    return yaml.dump(crd, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("crds")(crds)


def crds(
    out: Annotated[
        Path | None, typer.Option("--out", help="Write one file a kind into this directory.")
    ] = None,
) -> int:
    """Print the CustomResourceDefinitions of all kinds, or write them into a directory."""
    for name, text in render_crds().items():
        if out is None:
            typer.echo(f"---\n{text}", nl=False)
        else:
            out.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text, encoding="utf-8")
    return Status.DONE
