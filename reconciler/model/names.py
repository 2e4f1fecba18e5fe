"""Object ids and step ids: one table of prefixes, written and read here only.

`vm/web-1`; `vm/team-a/web-1` where the namespace is not `default`; steps `vm/web-1#migrate`.
"""

from enum import StrEnum

DEFAULT_NAMESPACE = "default"


class Kind(StrEnum):
    """Kinds of manifests, in the order in which they depend on each other."""

    DATA_CENTER = "DataCenter"
    LOGICAL_NETWORK = "LogicalNetwork"
    STORAGE_DOMAIN = "StorageDomain"
    SCHEDULING_POLICY = "SchedulingPolicy"
    CLUSTER = "Cluster"
    HOST = "Host"
    DISK = "Disk"
    VIRTUAL_MACHINE = "VirtualMachine"


PREFIXES: dict[Kind, str] = {
    Kind.DATA_CENTER: "dc",
    Kind.LOGICAL_NETWORK: "net",
    Kind.STORAGE_DOMAIN: "sd",
    Kind.SCHEDULING_POLICY: "sched",
    Kind.CLUSTER: "cluster",
    Kind.HOST: "host",
    Kind.DISK: "disk",
    Kind.VIRTUAL_MACHINE: "vm",
}
KINDS: dict[str, Kind] = {prefix: kind for kind, prefix in PREFIXES.items()}
NAMESPACED = frozenset({Kind.DISK, Kind.VIRTUAL_MACHINE})


def object_id(kind: Kind, name: str, namespace: str = DEFAULT_NAMESPACE) -> str:
    """The id of an object; the namespace shows only for namespaced kinds outside `default`."""
    if kind in NAMESPACED and namespace != DEFAULT_NAMESPACE:
        return f"{PREFIXES[kind]}/{namespace}/{name}"
    return f"{PREFIXES[kind]}/{name}"


def kind_of(identifier: str) -> Kind:
    """The kind that an object id belongs to; KeyError for a prefix that no kind has."""
    return KINDS[identifier.partition("/")[0]]


def name_of(identifier: str) -> str:
    """The last part of an object id: the object's metadata.name."""
    return identifier.rpartition("/")[2]


def namespace_of(identifier: str) -> str:
    """The namespace of an object id, `default` where it has none."""
    parts = identifier.split("/")
    return parts[1] if len(parts) == 3 else DEFAULT_NAMESPACE


def step_id(identifier: str, verb: str, repeat: int = 1) -> str:
    """`vm/web-1#migrate`, and `vm/web-1#migrate.2` for a repeat."""
    return f"{identifier}#{verb}" if repeat == 1 else f"{identifier}#{verb}.{repeat}"
