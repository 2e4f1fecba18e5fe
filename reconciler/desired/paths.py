"""Field paths: the steps from an object's root to a field, and the text that people read (`spec.nics[0].mac`).

Used by everything in `reconciler.desired` that reports a problem, and by `places`.
"""

import re
from collections.abc import Sequence
from typing import Final

Step = str | int
Path = tuple[Step, ...]

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_STEPS: Final = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]+)\]|\[([^\[\]]+)\]")


def format_path(path: Sequence[Step]) -> str:
    """`("spec", "nics", 0, "mac")` as `spec.nics[0].mac`; keys that are no plain words stand in brackets."""
    parts: list[str] = []
    for step in path:
        if isinstance(step, str) and _PLAIN.fullmatch(step):
            parts.append(f".{step}" if parts else step)
        else:
            parts.append(f"[{step}]")
    return "".join(parts)


def parse_path(text: str) -> Path:
    """What `format_path` wrote, as steps again; text that is no path gives the steps up to the fault."""
    steps: list[Step] = []
    position = 0
    while position < len(text):
        found = _STEPS.match(text, position)
        if found is None:
            break
        word, index, key = found.groups()
        steps.append(int(index) if index is not None else word or key)
        position = found.end()
    return tuple(steps)
