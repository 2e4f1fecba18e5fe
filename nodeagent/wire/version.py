"""The contract's version, carried by every document.

Readers of orders and records refuse fields they do not know; readers of facts ignore them.
"""

from dataclasses import dataclass

from nodeagent.wire.types import Count

MAJOR = 1
MINOR = 0


@dataclass(frozen=True, slots=True)
class Format:
    """major changes when old readers would misread; minor when they may ignore what is new."""

    major: Count = MAJOR
    minor: Count = MINOR


CURRENT = Format()
