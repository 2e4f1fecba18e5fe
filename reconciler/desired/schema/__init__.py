"""What a manifest may say: one file per kind, and the table of kinds.

Called by `reconciler.desired.declarations` to validate documents and by `crds` to publish the same shapes.
Only fields that take effect are here; names are those of the manifest in camelCase.
"""

from reconciler.desired.schema.base import API_VERSION, Manifest
from reconciler.desired.schema.kinds import KIND_SCHEMAS, KindSchema

__all__ = ["API_VERSION", "KIND_SCHEMAS", "KindSchema", "Manifest"]
