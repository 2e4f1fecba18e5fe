"""`python -m tests.scenarios.accept CASE…|ALL`: shows how golden files differ from what is planned now, and rewrites them.

For people who have read the difference; no test and no CI job calls it.
"""

import difflib
import os
import sys

from tests.scenarios.cases import all_cases, load_case, run_case

GOLDEN = ("plan.txt", "plan.json", "problems.txt")


def accept(name: str) -> bool:
    """Rewrites one case's golden files; whether anything differed."""
    folder, files = load_case(name).folder, run_case(name).files
    changed = False
    for file in GOLDEN:
        path = folder / file
        old = path.read_text() if path.exists() else ""
        new = files.get(file, "")
        if old == new:
            continue
        changed = True
        sys.stdout.writelines(
            difflib.unified_diff(
                old.splitlines(keepends=True),
                new.splitlines(keepends=True),
                f"{name}/{file}",
                f"{name}/{file} (now)",
            )
        )
        if file in files:
            path.write_text(new)
        else:
            path.unlink()
    return changed


def main(arguments: list[str]) -> int:
    """Accepts the cases named, or all that match a beginning such as `disks/`."""
    if os.environ.get("CI"):
        print("golden files are accepted by people, not by CI", file=sys.stderr)
        return 1
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 64
    wanted = [
        name for name in all_cases() if "ALL" in arguments or any(name.startswith(one) for one in arguments)
    ]
    changed = [name for name in wanted if accept(name)]
    print(f"{len(wanted)} cases, {len(changed)} rewritten: {', '.join(changed) or 'none'}")
    return 0 if wanted else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
