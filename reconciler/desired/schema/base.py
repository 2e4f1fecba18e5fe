"""What all manifests share: how fields are spelled, the envelope, and Kubernetes' metadata.

Types are strict (no text for a number), unknown fields are refused, attribute docstrings are the
descriptions that users read in `kubectl explain` and in docs/manifests.md.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from reconciler.desired.schema.scalars import Identifier, Namespace, ResourceName, Uuid

API_GROUP: Final = "ostler.dev"
API_VERSION: Final = "ostler.dev/v1alpha1"
ALLOW_DESTROY: Final = "ostler.dev/allow-destroy"
RENAMED_FROM: Final = "ostler.dev/renamed-from"


def by_key(key: str) -> dict[str, Any]:
    """Schema extra of a list whose items Kubernetes tells apart by one of their fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


class Part(BaseModel):
    """A mapping inside a manifest."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


class Annotations(Part):
    """The annotations that mean something here; those of others are left alone."""

    model_config = ConfigDict(extra="ignore")

    allow_destroy: Uuid | None = Field(default=None, alias=ALLOW_DESTROY)
    """Consent to remove just this object once its manifest is gone: the uuid that it has."""

    renamed_from: Identifier | None = Field(default=None, alias=RENAMED_FROM)
    """The id that this object had before, such as `vm/old-name`; removable once applied."""


NO_ANNOTATIONS: Final = Annotations.model_validate({})


class ObjectMeta(Part):
    """Kubernetes' metadata. What an API server adds is accepted and ignored."""

    name: ResourceName
    """The object's name: lower-case letters, digits, `-` and `.`, at most 63."""

    namespace: Namespace | None = None
    """Only for kinds that live in a namespace; `default` where none is given."""

    labels: dict[str, Any] | None = None
    """Labels are yours; none has a meaning here."""

    annotations: Annotations = NO_ANNOTATIONS
    """`ostler.dev/…` annotations are consents and renames; others are left alone."""

    creation_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    deletion_timestamp: Any = None
    finalizers: Any = None
    generation: Any = None
    managed_fields: Any = None
    owner_references: Any = None
    resource_version: Any = None
    self_link: Any = None
    uid: Any = None


class Manifest(Part):
    """One object as written. `status` belongs to Kubernetes and is ignored when read."""

    api_version: Literal["ostler.dev/v1alpha1"]
    """Group and version of the schema."""

    kind: str
    """The kind of the object."""

    metadata: ObjectMeta
    """Name, labels and annotations."""

    status: Any = None
    """What was observed; written by the controller."""
