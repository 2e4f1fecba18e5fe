"""Refuses generated files that are stale, and links in documents that lead nowhere; `make check` runs it."""

import json
import re
import subprocess
import sys
from pathlib import Path

from reconciler.cli.crds import render_crds
from reconciler.desired.reference import replace_reference
from reconciler.planfile.decode import plan_schema

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def find_faults() -> list[str]:
    """Every stale file and every dead link."""
    faults = []
    for name, text in render_crds().items():
        path = ROOT / "crds" / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            faults.append(f"crds/{name} is stale: make crds")
    wanted = {path.name for path in (ROOT / "crds").glob("*.yaml")} - set(render_crds())
    faults += [f"crds/{name} belongs to no kind: remove it" for name in sorted(wanted)]
    faults += [
        f"docs/{name} is stale: make docs"
        for name, text in render_pages().items()
        if (ROOT / "docs" / name).read_text(encoding="utf-8") != text
    ]
    for page in sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))):
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                faults.append(f"{page.relative_to(ROOT)}: the link to {target} leads nowhere")
    return faults


def render_pages() -> dict[str, str]:
    """The generated pages of docs/ by file name."""
    reference = (ROOT / "docs/manifests.md").read_text(encoding="utf-8")
    return {
        "plan.schema.json": json.dumps(plan_schema(), indent=2, sort_keys=True) + "\n",
        "manifests.md": replace_reference(reference),
        "agent-api.json": _describe_agent(),
    }


def _describe_agent() -> str:
    """What `ostler-agent describe` prints."""
    agent = Path(sys.executable).with_name("ostler-agent")
    return subprocess.run([agent, "describe"], check=True, capture_output=True, text=True).stdout


def write_pages() -> None:
    """Makes the generated pages anew."""
    for name, text in render_pages().items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv:
        write_pages()
    found = find_faults()
    print("\n".join(found) or "generated files and links: ok")
    sys.exit(bool(found))
