import io
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.desired.read import read_paths
from reconciler.desired.read.limits import MAX_DEPTH, MAX_EVENTS_PER_FILE, MAX_PROBLEMS_PER_FILE

MIB = 1024**2


def read(content):
    return read_paths(["-"], io.BytesIO(content if isinstance(content, bytes) else content.encode()))


def repeated(text, size=4 * MIB):
    return (text * (size // len(text) + 1))[:size]


HOSTILE = {
    "brackets": repeated("["),
    "braces": repeated("{"),
    "dashes": repeated("- "),
    "question marks": repeated("? "),
    "stairs": "".join(f"{' ' * level}a:\n" for level in range(2500)),
    "documents": repeated("---\n"),
    "document ends": repeated("...\n"),
    "empty lines": repeated("\n"),
    "spaces": repeated(" "),
    "tabs": repeated("\t"),
    "comment lines": repeated("#\n"),
    "indented comment lines": repeated("  # x\n"),
    "tag directives": "".join(f"%TAG !{number}! x\n" for number in range(100_000)),
    "version directives": repeated("%YAML 1.2\n"),
    "anchors": "".join(f"- &a{number} x\n" for number in range(200_000)),
    "aliases": repeated("- *a\n"),
    "duplicate keys": repeated("a: 1\n"),
    "long keys": repeated(f"{'a' * 900}: 1\n"),
    "distinct keys": "".join(f"k{number}: 1\n" for number in range(300_000)),
    "one word": repeated("a"),
    "words": repeated("a "),
    "digits": repeated("9"),
    "escapes": '"' + repeated("\\x41")[:-4] + '"',
    "quotes": repeated("'"),
    "colons": repeated(": "),
    "broken documents": repeated("a: b: c\n---\n"),
    "broken items": "kind: List\nitems:\n" + repeated("- 1\n"),
    "NUL": repeated("\0"),
    "carriage returns": repeated("\r"),
    "line separators": repeated("\u2028", MIB),
    "flow pairs": "{" + repeated('"a": 1,'),
    "block scalar": "a: |\n" + repeated(" x\n"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_read_in_bounded_time_and_problems(name):
    begun = time.process_time()
    manifests = read(HOSTILE[name])
    # 4 MiB take at most about a second on a slow machine; what is quadratic takes minutes.
    assert time.process_time() - begun < 10
    assert len(manifests.problems) <= MAX_PROBLEMS_PER_FILE + 2
    assert all(len(str(problem)) < 500 for problem in manifests.problems)
    assert all(str(problem).isprintable() for problem in manifests.problems)


@pytest.mark.parametrize("name", ["empty lines", "comment lines", "one word", "spaces", "brackets"])
def test_hostile_text_takes_a_few_times_its_size_in_memory(name):
    content = HOSTILE[name].encode()
    tracemalloc.start()
    try:
        read(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(content)


def test_nesting_up_to_the_limit_is_read_and_one_more_is_refused():
    deepest = "{a: " * (MAX_DEPTH - 1) + "{}" + "}" * (MAX_DEPTH - 1)
    assert not read(deepest).problems
    [problem] = read(f"a: {deepest}").problems
    assert problem.summary == "nesting is deeper than 64 levels"
    assert (problem.where.line, problem.where.column) == (1, 4 + 4 * (MAX_DEPTH - 1))


def test_too_deep_nesting_does_not_hide_the_next_document():
    assert read("[" * 100 + "\n---\na: 1\n").documents[-1].value == {"a": 1}


def test_a_file_with_too_many_events_says_to_split_it():
    manifests = read("a: 1\n---\nb: 1\n---\n" + "- x\n" * MAX_EVENTS_PER_FILE)
    [problem] = manifests.problems
    assert "1000000 YAML events" in problem.summary
    assert "split" in problem.detail
    assert [document.value for document in manifests.documents] == [{"a": 1}, {"b": 1}]


def test_events_are_counted_over_all_documents_of_a_file():
    [problem] = read("---\n" * (MAX_EVENTS_PER_FILE // 5 + 2)).problems
    assert "1000000 YAML events" in problem.summary


def test_places_in_a_too_deep_document_are_found_in_bounded_time():
    [document] = read("a: 1\nb: " + "[" * 500_000).documents
    begun = time.process_time()
    assert document.where(("a",)).line == 1
    assert time.process_time() - begun < 1


def test_problems_past_the_limit_are_counted():
    manifests = read("a: 1\na: 1\n---\n" * 250)
    assert len(manifests.problems) == MAX_PROBLEMS_PER_FILE + 1
    assert manifests.problems[-1].summary == "and 150 more problems in this file"


def test_a_thousand_machines_take_little_memory():
    text = "".join(MACHINE.format(number) for number in range(1000))
    tracemalloc.start()
    try:
        manifests = read(text)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(manifests.documents) == 1000
    assert held < 5 * MIB  # 10 000 machines: 50 MiB


MACHINE = """\
apiVersion: ostler.dev/v1alpha1
kind: VirtualMachine
metadata:
  name: web-{0}
  namespace: team-a
  labels:
    app: web
spec:
  cluster: c1
  cpu:
    sockets: 1
    cores: 2
  memory: 2Gi
  disks:
    - disk: web-{0}
      bus: virtio
  nics:
    - name: nic1
      network: ovirtmgmt
  runPolicy: Always
---
"""

SNIPPETS = [
    "a: ",
    "b:",
    "- ",
    "\n",
    "\n  ",
    "\n---\n",
    "\n...\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    "? ",
    ": ",
    "'",
    '"',
    "|",
    ">",
    "&a ",
    "*a",
    "!t ",
]
SNIPPETS += [
    "#",
    "%YAML 1.2\n",
    "%",
    "\t",
    "\r\n",
    "\r",
    "<<",
    "kind: List\n",
    "items:\n",
    "1",
    "0x1",
    ".inf",
    "\\",
    "\\u0041",
    "\0",
    "\ufeff",
    "é",
    "@",
    "~",
]


def check(content):
    manifests = read(content)
    for document in manifests.documents:
        assert isinstance(document.value, dict)
        for path in [(), *((key,) for key in document.value)]:
            assert document.where(path).line >= 1
            assert document.where_value(path).column >= 1
    errors = [problem for problem in manifests.problems if problem.severity == "error"]
    assert errors or all(document.sound for document in manifests.documents)
    assert all(problem.summary and str(problem).isprintable() for problem in manifests.problems)


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_read_without_an_exception(content):
    check(content)


@given(st.lists(st.sampled_from(SNIPPETS), max_size=40).map("".join))
@settings(max_examples=1000)
def test_any_mixture_of_yaml_is_read_without_an_exception(text):
    check(text)


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_document_boundary_keeps_faults_apart(first, second):
    text = f"{first}\n---\n{second}\n---\nlast: 1\n"
    assert read(text.encode("utf-8", "replace")).documents[-1].value == {"last": 1}
