"""Whatever the documents hold, building never raises, and a fault is told in the document that has it."""

import copy
import io
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.desired.build import build_desired
from reconciler.desired.read import read_paths
from reconciler.desired.schema import KIND_SCHEMAS
from reconciler.desired.structure import kind_schema
from reconciler.model.names import Kind
from reconciler.problems import Where

FARM: list[dict[str, Any]] = [
    {
        "kind": "DataCenter",
        "metadata": {"name": "farm"},
        "spec": {"uuid": "0b5c6a1e-7d3f-4c55-9e0a-3f1f6d2b8c47"},
    },
    {"kind": "LogicalNetwork", "metadata": {"name": "vms"}, "spec": {"dataCenter": "farm", "mtu": 1500}},
    {"kind": "Cluster", "metadata": {"name": "main"}, "spec": {"dataCenter": "farm", "networks": ["vms"]}},
    {
        "kind": "StorageDomain",
        "metadata": {"name": "shared"},
        "spec": {"dataCenter": "farm", "type": "posixfs", "path": "/srv/a", "vfsType": "none"},
    },
    {"kind": "Host", "metadata": {"name": "h1"}, "spec": {"cluster": "main", "address": "192.0.2.11"}},
    {"kind": "Disk", "metadata": {"name": "d1"}, "spec": {"storageDomain": "shared", "size": "1Gi"}},
]
VM: dict[str, Any] = {
    "kind": "VirtualMachine",
    "metadata": {"name": "web-1", "labels": {"a": "b"}, "annotations": {"ostler.dev/renamed-from": "vm/old"}},
    "spec": {
        "cluster": "main",
        "memory": "256Mi",
        "maxMemory": "512Mi",
        "cpu": {"sockets": 1, "cores": 2, "maxSockets": 4},
        "firmware": "uefi",
        "tpm": True,
        "boot": {"kernel": "/vmlinuz", "cmdline": "quiet"},
        "disks": [{"disk": "d1", "bus": "virtio", "bootOrder": 1}],
        "nics": [{"name": "nic1", "network": "vms", "mac": "56:6f:1a:00:00:01"}],
        "cdrom": {"storageDomain": "shared", "file": "a.iso"},
        "vnc": {"password": {"secret": "s", "key": "k"}},
        "placement": {"hosts": ["h1"], "migration": "Pinned"},
        "runPolicy": "Always",
        "priority": 90,
        "shutdownTimeout": "2m",
    },
}
HOST: dict[str, Any] = {
    "kind": "Host",
    "metadata": {"name": "h2"},
    "spec": {
        "cluster": "main",
        "address": "192.0.2.12",
        "port": 1,
        "networks": [{"network": "vms", "nic": "eth1"}],
    },
}

words = st.sampled_from(
    sorted(
        {
            "metadata",
            "name",
            "namespace",
            "annotations",
            "labels",
            "apiVersion",
            "kind",
            "spec",
            "status",
            "",
            "x",
        }
        | {field for kind in Kind for field in kind_schema(kind)["properties"]["spec"]["properties"]}
        | {str(kind) for kind in KIND_SCHEMAS}
        | {
            "ostler.dev/v1alpha1",
            "ostler.dev/allow-destroy",
            "ostler.dev/renamed-from",
            "vm/web-1",
            "main",
            "1Gi",
        }
    )
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
texts = words | st.text(max_size=80)
trees = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=6),
    max_leaves=25,
)
shaped = st.fixed_dictionaries(
    {"apiVersion": st.just("ostler.dev/v1alpha1"), "kind": st.sampled_from([str(kind) for kind in Kind])},
    optional={
        "metadata": st.fixed_dictionaries(
            {}, optional={"name": texts | trees, "namespace": trees, "annotations": trees}
        )
        | trees,
        "spec": st.dictionaries(words, trees, max_size=12) | trees,
        "status": trees,
    },
)


def build(*objects: Any):
    text = "\n---\n".join(json.dumps(one) for one in objects)
    manifests = read_paths(["-"], io.BytesIO(text.encode()))
    desired, problems = build_desired(manifests.documents)
    return desired, (*manifests.problems, *problems)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(shaped | trees, max_size=4))
def test_no_tree_makes_building_raise(objects):
    desired, problems = build(*objects)

    assert all(problem.where is not None and problem.summary for problem in problems)
    assert all(str(problem).isprintable() for problem in problems)
    assert isinstance(desired, dict)


def versioned(one: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "ostler.dev/v1alpha1", **copy.deepcopy(one)}


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [found for step, inner in steps for found in paths_of(inner, (*path, step))]


def mutate(draw: Any, original: dict[str, Any]) -> dict[str, Any]:
    mutated = versioned(original)
    *parents, last = draw(st.sampled_from(paths_of(mutated)))
    parent: Any = mutated
    for step in parents:
        parent = parent[step]
    action = draw(st.sampled_from(["replace", "remove", "rename", "add"]))
    if action == "replace" or (isinstance(parent, list) and action != "remove"):
        parent[last] = draw(trees)
    elif action == "remove":
        del parent[last]
    elif action == "rename":
        parent[f"{last}x"] = parent.pop(last)
    else:
        parent[draw(texts)] = draw(trees)
    return mutated


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from([VM, HOST]))
def test_one_changed_field_gives_an_object_or_a_problem_in_its_document(data, original):
    farm = [versioned(one) for one in FARM]
    mutated = mutate(data.draw, original)

    desired, problems = build(*farm, mutated)

    line = 2 * len(farm) + 1
    if problems:
        assert line in {problem.where.line for problem in problems if isinstance(problem.where, Where)}
    else:
        assert len(desired["dc/farm"].vms) + len(desired["dc/farm"].hosts) == 2


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(range(len(FARM))))
def test_a_change_anywhere_never_leaves_a_broken_reference_unsaid(data, index):
    objects = [versioned(one) for one in (*FARM, VM)]
    objects[index] = mutate(data.draw, FARM[index])

    desired, problems = build(*objects)

    if not problems:
        assert sum(len(one.vms) for one in desired.values()) == 1


def test_the_unchanged_manifests_have_no_problems():
    desired, problems = build(*map(versioned, FARM), versioned(VM), versioned(HOST))

    assert problems == ()
    assert list(desired["dc/farm"].hosts) == ["host/h1", "host/h2"]
