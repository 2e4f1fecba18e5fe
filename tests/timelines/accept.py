"""`python -m tests.timelines.accept CASE…|ALL`: shows how golden files differ from what happens now, and rewrites them.

For people who have read the difference; no test and no CI job calls it.
"""

import difflib
import os
import sys

from tests.timelines.cases import ROOT, all_cases, run_case


def accept(name: str) -> bool:
    """Rewrites one case's golden files; whether anything differed."""
    changed = False
    for file, new in run_case(name).items():
        path = ROOT / name / file
        old = path.read_text() if path.exists() else ""
        if old != new:
            changed = True
            lines = old.splitlines(keepends=True), new.splitlines(keepends=True)
            sys.stdout.writelines(difflib.unified_diff(*lines, f"{name}/{file}", f"{name}/{file} (now)"))
            path.write_text(new)
    return changed


def main(arguments: list[str]) -> int:
    """Accepts the cases named, or all that match a beginning such as `power/`."""
    if os.environ.get("CI"):
        print("golden files are accepted by people, not by CI", file=sys.stderr)
        return 1
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 64
    wanted = [one for one in all_cases() if "ALL" in arguments or one.startswith(tuple(arguments))]
    changed = [name for name in wanted if accept(name)]
    print(f"{len(wanted)} cases, {len(changed)} rewritten: {', '.join(changed) or 'none'}")
    return 0 if wanted else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
