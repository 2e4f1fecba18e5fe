"""Text as XML can hold it: what libvirt gives back must compare equal to what was written.

Used by `writing` to write, and by `reading` to tell an unchanged text from one changed behind our back.
"""

import re

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAKS = re.compile("[\t\n\r\u0085\u2028\u2029]")


def as_line(text: str) -> str:
    """One line without characters that XML forbids (libvirt refuses line breaks in a title)."""
    return _ILLEGAL.sub("\ufffd", _BREAKS.sub(" ", text))


def as_block(text: str) -> str:
    """Lines without characters that XML forbids; every line break is a line feed, as XML parsers make it."""
    return _ILLEGAL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def is_line(text: str) -> bool:
    """Whether XML keeps this text exactly, in an attribute too."""
    return as_line(text) == text
