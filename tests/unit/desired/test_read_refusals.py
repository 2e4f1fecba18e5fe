import io

import pytest

from reconciler.desired.read import read_paths


def read(text):
    return read_paths(["-"], io.BytesIO(text if isinstance(text, bytes) else text.encode()))


def only_problem(text):
    [problem] = read(text).problems
    return problem


@pytest.mark.parametrize(
    ("text", "place", "field", "words", "advice"),
    [
        ("a: &x 1\n", "1:4", "a", "anchors (&x)", "write the value out"),
        ("a: *x\n", "1:4", "a", "aliases (*x)", "write the value out"),
        ("s:\n  <<: {a: 1}\n", "2:3", "s", "merge keys", "write the fields out"),
        ("a: !!python/object/apply:os.system [id]\n", "1:4", "a", "tags (!!python/object", "remove the tag"),
        ("a: !!binary aGk=\n", "1:4", "a", "tags (!!binary)", "remove the tag"),
        ("a: ! 12\n", "1:4", "a", "tags (!)", "remove the tag"),
        ("a: !local {}\n", "1:4", "a", "tags (!local)", "remove the tag"),
        ("s:\n  1: x\n", "2:3", "s", "the key '1' is not text", "quotes"),
        ("true: x\n", "1:1", "", "the key 'true' is not text", "quotes"),
        ("~: x\n", "1:1", "", "the key '~' is not text", "quotes"),
        ("? [a]\n: x\n", "1:3", "", "cannot be a list or a mapping", "quotes"),
        (
            "s:\n- a: 1\n  b: 2\n  a: 3\n",
            "4:3",
            "s.0",
            "'a' is given twice, the first time in line 2",
            "keep one",
        ),
        (
            's:\n  a: {x: 1,\n   "x": 2}\n',
            "3:4",
            "s.a",
            "'x' is given twice, the first time in line 2",
            "keep one",
        ),
        ('a: "x\\0y"\n', "1:4", "a", "NUL", "remove"),
        ("%TAG !e! tag:x\n---\na: 1\n", "1:1", "", "directives", "remove this line"),
        ("# x\n%YAML 2.0\n---\na: 1\n", "2:1", "", "directives", "remove this line"),
    ],
)
def test_yaml_that_manifests_do_not_need_is_refused_with_what_to_write(text, place, field, words, advice):
    problem = only_problem(text)
    assert str(problem.where) == f"-:{place}"
    assert problem.field == field
    assert words in problem.summary
    assert advice in problem.detail


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: b: c\n", "1:5", "a ':' cannot stand here"),
        ("a:\n\t- 1\n", "2:1", "a tab stands where indentation"),
        ("a: |\n\tb\n", "2:1", "a tab stands in the indentation"),
        ("a: @x\n", "1:4", "a value cannot start with '@'"),
        ("a: `x`\n", "1:4", "a value cannot start with '`'"),
        ("a: *.example.com\n", "1:5", "a value cannot start with '*'"),
        ("a: &\n", "1:5", "a value cannot start with '&'"),
        ("a: !<x\n", "1:7", "a value cannot start with '!'"),
        ("a: 'x\n", "2:1", "quoted text is not closed"),
        ('a: "x\n---\nb: 1\n', "2:1", "quoted text is not closed"),
        ("a: [1, 2\n", "2:1", "a '[' is not closed"),
        ("a: {x: 1\nb: 2\n", "2:2", "a '{' is not closed"),
        ("a: ]\n", "1:4", "a value is missing"),
        ('a: "\\q"\n', "1:5", "no escape that YAML knows"),
        ('a: "\\ud83d\\ude00"\n', "1:7", "no character"),
        ("a:\n  b: 1\n c: 2\n", "3:2", "does not fit the mapping"),
        ("a:\n  - 1\n  b: 2\n", "3:3", "does not fit the list"),
        ("{a: 1}\nb: 2\n", "2:1", "has ended before"),
        ("a: - 1\n", "1:4", "a list item cannot start here"),
        ("a: 1\nb\n", "3:1", "the ':' after this key is missing"),
        ("a: |x\n", "1:5", "behind '|' or '>'"),
        ("a: |0\n x\n", "1:5", "this is not YAML"),
    ],
)
def test_syntax_errors_are_told_in_plain_words_at_their_place(text, place, words):
    problem = only_problem(text)
    assert str(problem.where) == f"-:{place}"
    assert words in problem.summary
    assert problem.detail


def test_a_syntax_error_names_the_line_where_its_surroundings_start():
    problem = only_problem("x: 1\n---\na:\n  b: 1\n c: 2\n")
    assert problem.detail.endswith("starts at line 3")


def test_a_syntax_error_does_not_hide_the_documents_after_it():
    manifests = read("a: 1\n---\nb: [\n---\nc: 'x\n---\nd: 1\nd: 2\n---\ne: 5\n")
    assert [problem.where.line for problem in manifests.problems] == [4, 6, 8]
    assert [(d.value, d.sound) for d in manifests.documents if d.sound] == [
        ({"a": 1}, True),
        ({"e": 5}, True),
    ]


def test_a_faulty_document_keeps_what_was_readable_and_is_not_sound():
    [document] = read("kind: Disk\nmetadata:\n  name: d1\nspec: {a: [\n").documents
    assert (document.sound, document.value["kind"], document.value["metadata"]) == (
        False,
        "Disk",
        {"name": "d1"},
    )


def test_refused_keys_and_the_second_of_two_leave_no_value_behind():
    [document] = read("a: 1\na: 2\n1: x\n{b: 1}: y\nc: 3\n").documents
    assert document.value == {"a": 1, "c": 3}


def test_anchors_and_tags_are_refused_on_values_met_before():
    manifests = read("a: 12\nb: &x 12\nc: !!str 12\n")
    assert [problem.where.line for problem in manifests.problems] == [2, 3]


def test_several_faults_of_one_document_are_all_told():
    manifests = read("a: &x 1\nb: *x\nc: !t 2\n3: 4\nd:\n  e: .inf\n")
    assert [problem.where.line for problem in manifests.problems] == [1, 2, 3, 4, 6]


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"a: 1\nb: \xff\n", "2:4", "byte 0xff is not UTF-8"),
        ("a: 1".encode("utf-16"), "1:1", "UTF-16"),
        (b"a: 1\nb: x\0y\n", "2:5", "NUL"),
        (b"a: \x1b[31m\n", "1:4", "U+001B"),
        ("a: \u2028\n".encode(), "1:4", "U+2028"),
        ("a: \x85\n".encode(), "1:4", "U+0085"),
        ("a: 1\n\ufeffb: 2\n".encode(), "2:1", "byte order mark"),
        (b"a: 1\rb: 2\n", "1:5", "carriage return"),
        (b"a: \xed\xa0\x80\n", "1:4", "not UTF-8"),
    ],
)
def test_bytes_that_are_no_text_are_problems_at_their_place(content, place, words):
    first = read(content).problems[0]
    assert str(first.where) == f"-:{place}"
    assert words in first.summary


def test_a_control_character_does_not_hide_the_other_problems():
    manifests = read(b"a: \x01\n---\nb: 1\nb: 2\n")
    assert [problem.where.line for problem in manifests.problems] == [1, 4]


@pytest.mark.parametrize(
    "text",
    ['"\\e[31m\\u202e": 1\n"\\e[31m\\u202e": 2\n', "a: !\u202ex y\n", "a: &\u202e 1\n", "a: \u202e@: b: c\n"],
)
def test_values_shown_in_problems_are_escaped(text):
    problems = read(text).problems
    assert problems
    assert all(str(problem).isprintable() for problem in problems)


def test_long_values_are_cut_when_shown():
    assert all(len(str(problem)) < 300 for problem in read(f"{'k' * 900}: 1\n{'k' * 900}: 2\n").problems)
