"""`plan --dump`: every value between manifests and plan as a file of its own, for bug reports and for reading along.

The directory holds what docs/architecture.md draws as arrows; each file can be read back into the very value.
"""

from pathlib import Path

import msgspec

from nodeagent.wire.codec import encode
from reconciler.cli.failures import CommandError
from reconciler.cli.files import write_file
from reconciler.pipeline import Pass

ARROWS = ("desired", "reports", "observed", "identities", "placement", "changes", "plan")
"""Fields of a pass, in the order in which they are made."""


def dump_pass(directory: Path, done: Pass) -> None:
    """Write `1-desired.json` to `7-plan.json` into a directory, which is made if need be. Raises CommandError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"{directory}: cannot be made ({error.strerror}); name another directory"
        ) from error
    for number, name in enumerate(ARROWS, 1):
        document = msgspec.json.format(encode(getattr(done, name)), indent=1) + b"\n"
        write_file(directory / f"{number}-{name}.json", document)
