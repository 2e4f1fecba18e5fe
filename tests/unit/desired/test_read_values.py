import io
from datetime import date

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired.read import read_paths


def read(text):
    return read_paths(["-"], io.BytesIO(text if isinstance(text, bytes) else text.encode()))


def value_of(text):
    manifests = read(f"value: {text}\n")
    assert not manifests.problems
    return manifests.documents[0].value["value"]


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "0777",
        "007",
        "1:30",
        "190:20:30",
        "1_000",
        "2024-01-01",
        "0b101",
        "0x",
        "1.2.3",
        "=",
        "<<",
        "-",
        ".",
        "+",
        "-.",
        "1e",
        "e3",
        "TrUe",
        "nil",
        "2Gi",
        "00:1a:4a:16:01:51",
        "+0x1",
        "007.5",
        ".e1",
    ],
)
def test_what_only_yaml_1_1_takes_for_something_else_stays_text(text):
    assert value_of(text if text != "-" else "'-'") == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-0", 0),
        ("+12", 12),
        ("-12", -12),
        ("0o17", 15),
        ("0xfF", 255),
        ("9223372036854775807", 2**63 - 1),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-1.5E-3", -0.0015),
        ("'true'", "true"),
        ('"12"', "12"),
        ("|\n  12\n", "12\n"),
        (">-\n  a\n  b\n", "a b"),
        ("a b\n  c", "a b c"),
        ("[]", []),
        ("{}", {}),
        ("[1, [a, {b: null}]]", [1, ["a", {"b": None}]]),
        ('"\\u00e9 \\x1b"', "é \x1b"),
        ("😀", "😀"),
    ],
)
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(text, expected):
    value = value_of(text)
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    "text",
    [
        ".inf",
        "-.INF",
        ".nan",
        "1e999",
        "9223372036854775808",
        "-9223372036854775809",
        "9" * 5000,
        "0." + "1" * 99,
    ],
)
def test_numbers_that_no_manifest_can_hold_are_problems(text):
    manifests = read(f"spec:\n  a: {text}\n")
    [problem] = manifests.problems
    assert (problem.field, problem.where.line, problem.where.column) == ("spec.a", 2, 6)
    assert not manifests.documents[0].sound


TEXTS = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\x85\u2028\u2029\ufeff"), max_size=20
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS.filter(lambda text: text[:1] not in set("0123456789+-.")),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            TEXTS.filter(lambda t: t[:1] not in set("0123456789+-.") and t != "<<"), inner, max_size=4
        )
    ),
    max_leaves=25,
)


@given(TREES, st.booleans(), st.sampled_from([None, True, False]))
def test_what_pyyaml_dumps_reads_back_the_same(tree, unicode, flow):
    text = yaml.safe_dump({"spec": tree}, allow_unicode=unicode, default_flow_style=flow, sort_keys=False)
    manifests = read(text)
    assert not manifests.problems
    assert [document.value for document in manifests.documents] == [{"spec": tree}]


def test_a_plain_value_does_not_decide_what_the_same_text_means_quoted():
    assert read("a: 12\nb: '12'\nc: 12\nd: |-\n  12\n").documents[0].value == {
        "a": 12,
        "b": "12",
        "c": 12,
        "d": "12",
    }


def test_json_is_read_too():
    manifests = read('{\n\t"kind": "Disk",\n\t"spec": {"size": 1, "text": "a\\/b\\u003c"}\n}\n')
    assert manifests.documents[0].value == {"kind": "Disk", "spec": {"size": 1, "text": "a/b<"}}


def test_no_date_or_other_object_comes_out():
    assert not isinstance(value_of("2024-01-01"), date)


def test_equal_values_have_equal_digests_whatever_the_layout():
    first, second, other = read("a: 1\nb: [x]\n---\n# note\n{b: ['x'], a: 1}\n---\na: 2\nb: [x]\n").documents
    assert first.digest == second.digest != other.digest
    assert len(first.digest) == 64


def test_many_documents_come_in_order_and_empty_ones_are_skipped():
    text = "---\n# only a comment\n---\na: 1\n---\n---\nnull\n--- {a: 2}\n...\n# more\na: 3\n...\n---\na: 4"
    assert [document.value["a"] for document in read(text).documents] == [1, 2, 3, 4]
    assert not read(text).problems


def test_a_version_line_is_accepted():
    manifests = read("# ours\n%YAML 1.2\n---\na: 1\n")
    assert ([d.value for d in manifests.documents], manifests.problems) == ([{"a": 1}], ())


def test_lists_are_taken_apart_also_nested_and_typed_ones():
    text = (
        "kind: List\nitems:\n- {kind: Disk, a: 1}\n- kind: DiskList\n  items:\n  - a: 2\n  - a: 3\n"
        "---\nkind: AccessList\nspec: 1\n"
    )
    documents = read(text).documents
    assert [document.value.get("a") for document in documents] == [1, 2, 3, None]
    assert str(documents[2].where(["a"])) == "-:7:5"
    assert str(documents[2].where()) == "-:7:5"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("- a\n", "-:1:1", "not a list"),
        ("# x\n\njust text\n", "-:3:1", "not text"),
        ("12", "-:1:1", "not a number"),
        ("true", "-:1:1", "not true or false"),
        ("kind: List\nitems:\n- {}\n- 3\n", "-:4:3", "not a number"),
        ("kind: List\nitems:\n-\n", "-:3:2", "not nothing"),
        ("kind: List\nitems: 3\n", "-:2:1", "no list of items"),
        ("kind: List\n", "-:1:1", "no list of items"),
    ],
)
def test_what_is_no_object_is_a_problem_at_its_place(text, place, words):
    [problem] = read(text).problems
    assert str(problem.where) == place
    assert words in problem.summary


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n", "\ufeff", "\n\n"])
def test_a_file_without_objects_is_a_warning(text):
    [problem] = read(text).problems
    assert (problem.severity, problem.summary) == ("warning", "this file holds no objects")


def test_a_leading_byte_order_mark_and_windows_line_ends_are_accepted():
    manifests = read("\ufeffa: 1\r\n---\r\nb:\r\n  c: x\r\n")
    assert [document.value for document in manifests.documents] == [{"a": 1}, {"b": {"c": "x"}}]
    assert not manifests.problems
    assert str(manifests.documents[1].where(("b", "c"))) == "-:4:3"
