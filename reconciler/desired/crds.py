"""CustomResourceDefinitions made from the schemas, as plain mappings; writing them as YAML is for the command."""

from typing import Any, Final

from reconciler.desired.schema.base import API_GROUP, API_VERSION
from reconciler.desired.schema.kinds import KIND_SCHEMAS, Column, KindSchema
from reconciler.desired.structure import Schema, kind_schema, structural_schema
from reconciler.model.names import NAMESPACED, Kind

_READY: Final = Column("Ready", '.status.conditions[?(@.type=="Ready")].status')
_AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")


def build_crds() -> dict[str, dict[str, Any]]:
    """One CustomResourceDefinition (apiextensions.k8s.io/v1) a kind, by file name, in order of name.

    Schemas are structural: no references, no unions but int-or-string, nothing preserved that is unknown.
    """
    crds = {f"{schema.plural}.yaml": _build_crd(kind, schema) for kind, schema in KIND_SCHEMAS.items()}
    return dict(sorted(crds.items()))


def _build_crd(kind: Kind, schema: KindSchema) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{schema.plural}.{API_GROUP}"},
        "spec": {
            "group": API_GROUP,
            "names": {
                "kind": str(kind),
                "listKind": f"{kind}List",
                "plural": schema.plural,
                "singular": str(kind).lower(),
                "shortNames": [schema.short_name],
                "categories": ["ostler"],
            },
            "scope": "Namespaced" if kind in NAMESPACED else "Cluster",
            "versions": [
                {
                    "name": API_VERSION.rpartition("/")[2],
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        _render_column(column) for column in (*schema.columns, _READY, _AGE)
                    ],
                    "schema": {"openAPIV3Schema": _build_root(kind, schema)},
                }
            ],
        },
    }


def _render_column(column: Column) -> dict[str, Any]:
    rendered: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**rendered, "priority": 1} if column.wide else rendered


def _build_root(kind: Kind, schema: KindSchema) -> Schema:
    """The schema of a whole object; metadata is the API server's own."""
    whole = kind_schema(kind)
    return {
        "description": whole["description"],
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": whole["properties"]["spec"],
            "status": structural_schema(schema.status),
        },
    }
