"""The CRDs: structural by Kubernetes' rules, the same as crds/, and as strict and as lax as the schemas."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from reconciler.cli.crds import render_crds
from reconciler.desired.build import build_desired
from reconciler.desired.crds import build_crds
from reconciler.desired.read import read_paths
from reconciler.desired.reference import replace_reference
from reconciler.desired.schema import KIND_SCHEMAS
from reconciler.model.names import NAMESPACED, Kind

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted(path.name for path in (ROOT / "examples" / "manifests").iterdir() if path.is_dir())
CRDS = {crd["spec"]["names"]["kind"]: crd for crd in build_crds().values()}

VALUES = {
    "format", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "default",
}  # fmt: skip
KNOWN = VALUES | {
    "description", "type", "nullable", "properties", "items", "required", "anyOf",
    "x-kubernetes-int-or-string", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip
TYPES = {"object", "array", "string", "integer", "number", "boolean"}


def schema_of(kind: str) -> dict[str, Any]:
    return CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def structural_faults(node: dict[str, Any], path: str) -> list[str]:
    """What Kubernetes' rules for structural schemas forbid (apiextensions v1), as far as our keywords go."""
    faults = [f"{path}: keyword {key}" for key in node if key not in KNOWN]
    if node.get("x-kubernetes-int-or-string"):
        if "type" in node or node.get("anyOf") != [{"type": "integer"}, {"type": "string"}]:
            faults.append(f"{path}: int-or-string is written otherwise")
        return faults
    if node.get("type") not in TYPES:
        faults.append(f"{path}: type {node.get('type')}")
    if "anyOf" in node:
        faults.append(f"{path}: a union")
    if "properties" in node and node.get("type") != "object":
        faults.append(f"{path}: properties of no object")
    if (node.get("type") == "array") != ("items" in node):
        faults.append(f"{path}: items")
    if not isinstance(node.get("description"), str) and path.count(".") > 1 and "[]" not in path[-2:]:
        faults.append(f"{path}: no description")
    faults += [
        f"{path}: required {name}" for name in node.get("required", ()) if name not in node["properties"]
    ]
    faults += list_faults(node, path)
    for name, inner in node.get("properties", {}).items():
        faults += structural_faults(inner, f"{path}.{name}")
    if "items" in node:
        faults += structural_faults(node["items"], f"{path}[]")
    return faults


def list_faults(node: dict[str, Any], path: str) -> list[str]:
    """Lists told apart by a key: items are objects, and the key is required in them."""
    if node.get("x-kubernetes-list-type") != "map":
        return []
    keys = node["x-kubernetes-list-map-keys"]
    return [f"{path}: key {key}" for key in keys if key not in node["items"]["required"]]


@pytest.mark.parametrize("kind", CRDS)
def test_schemas_are_structural(kind):
    root = schema_of(kind)

    assert structural_faults(root, kind) == []
    assert root["properties"]["metadata"] == {"type": "object"}
    assert root["required"] == ["spec"]


def test_the_checker_sees_what_is_not_structural():
    bad = {"type": "object", "properties": {"a": {"$ref": "#/x"}, "b": {"type": "array"}}, "required": ["c"]}

    assert structural_faults(bad, "X") == [
        "X: required c",
        "X.a: keyword $ref",
        "X.a: type None",
        "X.b: items",
    ]


@pytest.mark.parametrize("kind", CRDS)
def test_defaults_are_values_that_the_schema_takes(kind):
    def check(node):
        if "default" in node:
            jsonschema.validate(node["default"], as_json_schema(node))
        for inner in node.get("properties", {}).values():
            check(inner)
        if "items" in node:
            check(node["items"])

    check(schema_of(kind))


@pytest.mark.parametrize(("kind", "crd"), CRDS.items())
def test_names_are_those_that_kubernetes_wants(kind, crd):
    spec, names = crd["spec"], crd["spec"]["names"]

    assert crd["metadata"]["name"] == f"{names['plural']}.ostler.dev" == f"{names['plural']}.{spec['group']}"
    singular = kind.lower()
    assert names["plural"] == (f"{singular[:-1]}ies" if singular.endswith("y") else f"{singular}s")
    assert names["singular"] == kind.lower()
    assert names["categories"] == ["ostler"]
    assert spec["scope"] == ("Namespaced" if Kind(kind) in NAMESPACED else "Cluster")


def test_short_names_are_told_apart():
    shorts = [short for crd in CRDS.values() for short in crd["spec"]["names"]["shortNames"]]

    assert len(set(shorts)) == len(CRDS) == len(KIND_SCHEMAS)


@pytest.mark.parametrize(("kind", "crd"), CRDS.items())
def test_columns_show_fields_that_exist(kind, crd):
    version = crd["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    for column in version["additionalPrinterColumns"]:
        path = re.sub(r"\[\?.*\]", "", column["jsonPath"]).strip(".").split(".")
        if path[0] == "metadata":
            continue
        node = schema_of(kind)
        for step in path:
            node = node["properties"][step] if "properties" in node else node["items"]["properties"][step]


def test_files_are_the_rendered_schemas():
    rendered = dict(render_crds())

    assert {path.name: path.read_text() for path in (ROOT / "crds").iterdir()} == rendered
    assert {name: yaml.safe_load(text) for name, text in rendered.items()} == build_crds()


def as_json_schema(node: dict[str, Any]) -> dict[str, Any]:
    """A structural schema as JSON schema: null where nullable, nothing but the properties, patterns of Python."""
    result = {key: value for key, value in node.items() if not key.startswith("x-") and key != "nullable"}
    if "pattern" in result:
        result["pattern"] = result["pattern"].replace(
            r"\p{L}", r"\w"
        )  # near enough: \w has digits and _ as well
    if result.get("properties"):
        result["properties"] = {name: as_json_schema(inner) for name, inner in result["properties"].items()}
        result["additionalProperties"] = False
    if "items" in result:
        result["items"] = as_json_schema(result["items"])
    return {"anyOf": [result, {"type": "null"}]} if node.get("nullable") else result


@pytest.mark.parametrize("topic", EXAMPLES)
def test_every_example_loads_without_a_problem(topic):
    manifests = read_paths([str(ROOT / "examples" / "manifests" / topic)], None)
    desired, problems = build_desired(manifests.documents)

    assert (manifests.problems, problems) == ((), ())
    assert list(desired) == ["dc/farm"]
    assert desired["dc/farm"].vms


@pytest.mark.parametrize("topic", EXAMPLES)
def test_every_example_is_what_the_published_schema_takes(topic):
    for document in read_paths([str(ROOT / "examples" / "manifests" / topic)], None).documents:
        jsonschema.validate(document.value, as_json_schema(schema_of(str(document.value["kind"]))))


def test_the_page_of_all_fields_is_made_from_the_schemas():
    page = (ROOT / "docs" / "manifests.md").read_text()

    assert replace_reference(page) == page
    with pytest.raises(ValueError, match="lacks the lines"):
        replace_reference("no marks here")


@pytest.mark.parametrize(
    "spec",
    [
        {"cluster": "main"},
        {"cluster": "main", "memory": "1GB"},
        {"cluster": "main", "memory": "1Gi", "memroy": 1},
        {"cluster": "main", "memory": "1Gi", "priority": 101},
        {"cluster": "main", "memory": "1Gi", "priority": "1"},
        {"cluster": "main", "memory": "1Gi", "firmware": "UEFI"},
        {"cluster": "main", "memory": "1Gi", "nics": [{"name": "a"}]},
        {"cluster": "Main", "memory": "1Gi"},
        {"cluster": "main", "memory": "1Gi", "shutdownTimeout": "2 minutes"},
    ],
)
def test_the_published_schema_refuses_what_files_refuse(spec):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"spec": spec}, as_json_schema(schema_of("VirtualMachine")))
