"""Manifests: paths turned into trees of plain values that know their lines.

Called by `reconciler.desired` before any schema is looked at, and by commands that read manifests.
User faults come back as problems beside the documents; nothing here raises for bad input.
"""

from reconciler.desired.read.documents import Document, Manifests
from reconciler.desired.read.reader import read_paths
from reconciler.desired.read.scalars import Value
from reconciler.desired.read.shown import shown

__all__ = ["Document", "Manifests", "Value", "read_paths", "shown"]
