import io

import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired.read import read_paths

MANIFEST = """\
# a comment
kind: VirtualMachine
metadata: {name: web-1, labels: {app: web}}
spec:
  memory: 2Gi
  "quoted key":   'x'
  disks:
    - disk: web-1
      bus: virtio
    - disk: web-2
  notes: |
    several
    lines
  after: 1
"""


def read(text):
    return read_paths(["-"], io.BytesIO(text.encode())).documents


def test_a_path_leads_to_the_line_and_column_of_its_key_and_of_its_value():
    [document] = read(MANIFEST)
    expected = {
        ("kind",): ("2:1", "2:7"),
        ("metadata", "labels", "app"): ("3:34", "3:39"),
        ("spec",): ("4:1", "5:3"),
        ("spec", "memory"): ("5:3", "5:11"),
        ("spec", "quoted key"): ("6:3", "6:19"),
        ("spec", "disks"): ("7:3", "8:5"),
        ("spec", "disks", 0): ("8:7", "8:7"),
        ("spec", "disks", 0, "bus"): ("9:7", "9:12"),
        ("spec", "disks", 1, "disk"): ("10:7", "10:13"),
        ("spec", "after"): ("14:3", "14:10"),
        (): ("2:1", "2:1"),
    }
    for path, (key, value) in expected.items():
        assert (str(document.where(path)), str(document.where_value(path))) == (f"-:{key}", f"-:{value}")


def test_a_path_that_does_not_exist_leads_to_its_nearest_ancestor():
    [document] = read(MANIFEST)
    assert str(document.where(("spec", "cpu", "cores"))) == "-:4:1"
    assert str(document.where(("spec", "disks", 7, "bus"))) == "-:7:3"
    assert str(document.where(("status",))) == "-:2:1"
    assert str(document.where(("kind", 0))) == "-:2:1"


def test_lines_count_from_the_start_of_the_file_for_every_document():
    first, second, third = read(MANIFEST + "---\n\n" + MANIFEST + "...\n" + MANIFEST)
    lines = [document.where(("spec", "memory")).line for document in (first, second, third)]
    assert lines == [5, 21, 36]


def test_columns_count_characters_not_bytes():
    [document] = read("{é😀: ü, b: 1}")
    assert str(document.where(("b",))) == "-:1:9"


def test_objects_of_a_list_know_their_own_lines():
    documents = read("kind: List\nitems:\n- kind: A\n  spec:\n    x: 1\n- kind: B\n  spec:\n    x: 2\n")
    assert [document.where(("spec", "x")).line for document in documents] == [5, 8]
    assert [document.where(("nothing",)).line for document in documents] == [3, 6]


def test_the_first_of_two_equal_keys_is_the_one_that_counts():
    [document] = read("a: 1\nb: 2\na: 3\n")
    assert document.where(("a",)).line == 1


def test_places_work_in_a_document_that_breaks_off():
    [document] = read("kind: Disk\nspec:\n  size: 1Gi\n  x: [\n")
    assert (document.sound, document.where(("spec", "size")).line) == (False, 3)


TEXTS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x3000, blacklist_characters="\x7f\x85\u2028\u2029"),
    max_size=8,
)
KEYS = st.text("abcdefgh é:#-'\"", min_size=1, max_size=6)
TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), TEXTS.map(lambda text: f"x{text}"), st.just("one\ntwo\n\nthree")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=15,
)


def marks_by_compose(node, path=()):
    """Every path of a composed document with the line and column of its key, and of its value."""
    children = []
    if isinstance(node, yaml.MappingNode):
        children = [(key.value, key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(index, item, item) for index, item in enumerate(node.value)]
    for step, key, value in children:
        yield (*path, step), tuple((n.start_mark.line + 1, n.start_mark.column + 1) for n in (key, value))
        yield from marks_by_compose(value, (*path, step))


@given(
    st.lists(st.dictionaries(KEYS, TREES, min_size=1, max_size=3), min_size=1, max_size=3),
    st.sampled_from([None, True, False]),
)
def test_every_place_is_the_one_that_composing_finds(trees, flow):
    text = yaml.safe_dump_all(trees, allow_unicode=True, default_flow_style=flow, sort_keys=False)
    documents = read(text)
    for document, node in zip(documents, yaml.compose_all(text, Loader=yaml.SafeLoader), strict=True):
        for path, (key, value) in marks_by_compose(node):
            where, where_value = document.where(path), document.where_value(path)
            assert ((where.line, where.column), (where_value.line, where_value.column)) == (key, value)
