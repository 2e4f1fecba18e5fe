"""Checked scalars of the contract: what looks right up to a line break is wrong."""

from typing import Any

import pytest

from nodeagent.wire.codec import ContractError, convert
from nodeagent.wire.types import AbsolutePath, FileName, LinkName, Mac, MountSource, Name, ObjectId, Uuid

RIGHT = [
    (Uuid, "6b4b7c7e-53cf-4f1b-8f52-0d1b2a3c4d5e"),
    (ObjectId, "vm/web-1"),
    (Mac, "52:54:00:00:00:01"),
    (Name, "pc-q35-7.2"),
    (LinkName, "br0"),
    (FileName, "debian-12.iso"),
    (AbsolutePath, "/srv/images"),
    (MountSource, "server:/images"),
]


@pytest.mark.parametrize(("kind", "text"), RIGHT)
def test_no_line_break_follows(kind: Any, text: str) -> None:
    assert convert(text, kind) == text
    for wrong in (f"{text}\n", f"{text}\n\n", f"{text}\nx", f"\n{text}", f"{text}\r"):
        with pytest.raises(ContractError):
            convert(wrong, kind)
