"""Values that follow from others where a manifest gives none."""

import hashlib
import re
from typing import Final

from reconciler.desired.schema.scalars import LINK_NAME

_LINK_NAME: Final = re.compile(LINK_NAME)
_ODD: Final = re.compile(r"[^a-z0-9]+")
_KEPT: Final = 6


def derive_bridge(name: str) -> str:
    """The bridge of a network of that `metadata.name`: the name itself where Linux takes it, else a short one.

    The short one is the beginning of the name, `-` and 8 hex digits of its SHA-256: 15 characters at most,
    and the same on every host and in every pass.
    """
    if _LINK_NAME.fullmatch(name):
        return name
    beginning = _ODD.sub("", name)[:_KEPT]
    return f"{beginning}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
