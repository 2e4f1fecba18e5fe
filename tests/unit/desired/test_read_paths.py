import io
import os
import socket
from pathlib import Path

import pytest

from reconciler.desired.read import files as read_files
from reconciler.desired.read import limits as read_limits
from reconciler.desired.read import read_paths


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """An empty directory to read from, as the working directory; writes manifests by name."""
    monkeypatch.chdir(tmp_path)

    def write(**files):
        for name, text in files.items():
            path = Path(name.replace("__", "/").replace("_", "."))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def names(manifests):
    return [document.value["n"] for document in manifests.documents]


def test_a_directory_is_read_recursively_in_order_of_name(tree):
    tree(
        d__b_yaml="n: 2",
        d__a_yml="n: 1",
        d__c__x_json='{"n": 3}',
        d__d_YAML="n: 4",
        d__e_txt="n: 5",
        d__f="n: 6",
    )
    manifests = read_paths(["d"], None)
    assert (names(manifests), manifests.problems) == ([1, 2, 3, 4], ())
    assert [document.file for document in manifests.documents] == [
        "d/a.yml",
        "d/b.yaml",
        "d/c/x.json",
        "d/d.YAML",
    ]


def test_hidden_files_and_directories_are_skipped_unless_named(tree):
    tree(d__a_yaml="n: 1")
    Path("d/.hidden.yaml").write_text("n: 2")
    Path("d/.git").mkdir()
    Path("d/.git/x.yaml").write_text("n: 3")
    assert names(read_paths(["d"], None)) == [1]
    assert names(read_paths(["d/.hidden.yaml", "d/.git"], None)) == [2, 3]


def test_paths_are_read_in_the_order_named_and_each_file_once(tree):
    tree(a_yaml="n: 1", d__b_yaml="n: 2", c_txt="n: 3")
    Path("link.yaml").symlink_to("a.yaml")
    manifests = read_paths(["c.txt", "d", "a.yaml", "./a.yaml", "link.yaml", "d/b.yaml", "d"], None)
    assert (names(manifests), manifests.problems) == ([3, 2, 1], ())


def test_files_are_shown_as_the_user_named_them(tree):
    tree(d__b_yaml="n: [")
    assert [read_paths([name], None).problems[0].where.file for name in ("./d/", "d/../d", "d/b.yaml")] == [
        "./d/b.yaml",
        "d/../d/b.yaml",
        "d/b.yaml",
    ]


def test_standard_input_is_read_where_it_is_named(tree):
    tree(a_yaml="n: 1")
    manifests = read_paths(["a.yaml", "-", "-"], io.BytesIO(b"n: 2\n---\nn: [\n"))
    assert names(manifests)[:2] == [1, 2]
    assert [str(problem.where) for problem in manifests.problems] == ["-:4:1"]
    assert "not available" in read_paths(["-"], None).problems[0].summary


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing.yaml", "no such file"),
        ("", "cannot be a path"),
        ("a\0b", "cannot be a path"),
        ("x" * 5000, "too long"),
    ],
)
def test_paths_that_cannot_be_read_are_problems_and_the_others_are_read(tree, path, words):
    tree(a_yaml="n: 1")
    manifests = read_paths([path, "a.yaml"], None)
    assert names(manifests) == [1]
    assert words in manifests.problems[0].summary


def test_a_directory_without_manifests_is_a_problem(tree):
    tree(d__a_txt="n: 1")
    assert "no manifests" in read_paths(["d"], None).problems[0].summary


def test_links_that_lead_in_circles_end(tree):
    tree(d__e__a_yaml="n: 1")
    Path("d/e/up").symlink_to("..")
    Path("d/self").symlink_to(".")
    Path("d/loop.yaml").symlink_to("loop.yaml")
    Path("d/loop").symlink_to("loop")
    manifests = read_paths(["d"], None)
    assert names(manifests) == [1]
    assert [str(problem.where) for problem in manifests.problems] == ["d/loop.yaml:1:1"]
    assert "too many levels of symbolic links" in manifests.problems[0].summary
    assert "too many levels of symbolic links" in read_paths(["d/loop"], None).problems[0].summary


def test_links_inside_a_directory_are_followed_as_kubernetes_mounts_need_it(tree):
    Path("d/..2024").mkdir(parents=True)
    Path("d/..2024/a.yaml").write_text("n: 1")
    Path("d/..data").symlink_to("..2024")
    Path("d/a.yaml").symlink_to("..data/a.yaml")
    assert names(read_paths(["d"], None)) == [1]


def test_links_that_leave_a_directory_are_refused(tree):
    tree(secret_yaml="n: 9", d__a_yaml="n: 1", d2__x_yaml="n: 2")
    Path("d/b.yaml").symlink_to("../secret.yaml")
    Path("d/c").symlink_to("../d2")
    Path("d/d.yaml").symlink_to("missing")
    manifests = read_paths(["d"], None)
    assert names(manifests) == [1]
    assert [(problem.where.file, problem.summary) for problem in manifests.problems] == [
        ("d/b.yaml", "this link leads out of the named directory"),
        ("d/c", "this link leads out of the named directory"),
        ("d/d.yaml", "cannot read this: no such file or directory"),
    ]


def test_a_named_link_to_a_directory_is_followed(tree):
    tree(d__a_yaml="n: 1")
    Path("l").symlink_to("d")
    assert [document.file for document in read_paths(["l"], None).documents] == ["l/a.yaml"]


def test_special_files_are_refused_without_blocking(tree, tmp_path):
    tree(d__a_yaml="n: 1")
    os.mkfifo("d/pipe.yaml")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("d/socket.yaml")
        manifests = read_paths(["d", "/dev/zero"], None)
    assert names(manifests) == [1]
    assert [(problem.where.file, problem.summary) for problem in manifests.problems] == [
        ("d/pipe.yaml", "this is not a regular file"),
        ("d/socket.yaml", "this is not a regular file"),
        ("/dev/zero", "this is not a regular file"),
    ]


def test_a_file_that_lies_about_its_size_is_refused(tree):
    assert "changed while it was read" in read_paths(["/proc/self/status"], None).problems[0].summary


def test_file_names_with_control_characters_are_escaped(tree):
    Path("d").mkdir()
    Path("d/\x1b[31m\n.yaml").write_text("n: [")
    (Path("d") / os.fsdecode(b"\xff.yaml")).write_text("n: 1\nn: 2")
    problems = read_paths(["d", "\x1b]0;x\x07"], None).problems
    assert [problem.where.file for problem in problems] == [
        "d/\\x1b[31m\\n.yaml",
        "d/\\udcff.yaml",
        "\\x1b]0;x\\x07",
    ]
    assert all(str(problem).isprintable() for problem in problems)


def test_a_file_beyond_the_size_limit_is_refused_without_reading_it(tree):
    with Path("big.yaml").open("wb") as stream:
        stream.truncate(read_limits.MAX_FILE_BYTES + 1)
    assert "larger than 64 MiB" in read_paths(["big.yaml"], None).problems[0].summary
    with Path("big.yaml").open("rb") as stream:
        assert "larger than 64 MiB" in read_paths(["-"], stream).problems[0].summary


def test_the_number_of_files_is_limited(tree, monkeypatch):
    monkeypatch.setattr(read_files, "MAX_FILES", 3)
    tree(d__a_yaml="n: 1", d__b_yaml="n: 2", d__c_yaml="n: 3", d__d_yaml="n: 4")
    manifests = read_paths(["d"], None)
    assert names(manifests) == [1, 2]
    assert "more than 3 files" in manifests.problems[0].summary
