"""Files, folders and standard input as objects with their places."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cozystack.cozypkg.documents import Place, parse, read_all
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.session import Session

A = "apiVersion: cozystack.io/v1alpha1\nkind: Package\nmetadata: {name: a}\n"
B = "apiVersion: cozystack.io/v1alpha1\nkind: PackageSource\nmetadata: {name: b}\n"


def places(text: str) -> list[tuple[str, str, int]]:
    found = parse(text, source="x")
    return [(type(each.object).__name__, each.object.metadata.name, each.place.line) for each in found]


def fault(text: str | bytes) -> str:
    with pytest.raises(CommandError) as caught:
        list(parse(text, source="x"))
    return str(caught.value)


def test_every_document_has_its_line() -> None:
    assert places(f"# a comment\n---\n{A}---\n\n{B}") == [("Package", "a", 3), ("PackageSource", "b", 8)]


def test_rulers_inside_a_document_split_nothing() -> None:
    """cozypkg-F1"""
    text = (
        A
        + "spec:\n  components:\n    c:\n      values:\n        pem: |\n"
        + "          -----BEGIN-----\n          ---\n# --- end ---\n"
    )
    (found,) = parse(text, source="x")
    assert found.value["spec"]["components"]["c"]["values"]["pem"] == "-----BEGIN-----\n---\n"


def test_lists_are_unfolded_and_give_their_items_kind_and_version() -> None:
    short = "apiVersion: cozystack.io/v1alpha1\nkind: PackageList\nitems: [{metadata: {name: a}}, {metadata: {name: c}}]\n"
    assert places(short) == [("Package", "a", 1), ("Package", "c", 1)]
    mixed = 'apiVersion: v1\nkind: List\nitems: [{apiVersion: "cozystack.io/v1alpha1", kind: Package, metadata: {name: a}}]\n'
    assert places(mixed) == [("Package", "a", 1)]


def test_json_is_yaml() -> None:
    assert places('{"apiVersion": "cozystack.io/v1alpha1", "kind": "Package", "metadata": {"name": "a"}}') == [
        ("Package", "a", 1)
    ]


def test_empty_documents_are_passed_over() -> None:
    assert places(f"---\n---\n{A}---\n# nothing\n") == [("Package", "a", 3)]
    assert places("") == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- 1\n", "x:1: this is no Kubernetes object: it has no kind"),
        ("kind: {}\n", "x:1: this is no Kubernetes object: it has no kind"),
        (f"{A}---\napiVersion: v1\nkind: Secret\n", "x:5: a Package or PackageSource is expected, not a Secret"),
        (A.replace("v1alpha1", "v2"), 'x:1: Package of apiVersion "cozystack.io/v2"; it is cozystack.io/v1alpha1'),
        (A.replace("{name: a}", "{}"), "x:1: the Package has no name"),
        (A.replace("{name: a}", "[]"), "x:1: Package without a name: metadata is a list, not a map"),
        (
            f"{A}spec: {{components: {{x: {{enabled: often}}}}}}\n",
            "x:1: Package a: spec.components[...].enabled is text, not true or false",
        ),
        (f"{B}spec: {{variants: [{{}}]}}\n", "x:1: PackageSource b: spec.variants[0] has no name"),
        (f"{A}spec: {{variant: 1}}\n", "x:1: Package a: spec.variant is a whole number, not text"),
    ],
)
def test_what_is_no_package_is_named_with_its_place(text: str, sentence: str) -> None:
    """cozypkg-F2"""
    assert fault(text) == sentence


def test_broken_yaml_names_line_and_column() -> None:
    assert fault(f"{A}spec: {{\n---\n").startswith("x:5:1: ")
    assert fault(b"a: \xff\n").startswith("x")


def test_a_folder_is_walked_in_order_and_a_file_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.yml").write_text(A)
    (tmp_path / "a.yaml").write_text(B)
    (tmp_path / "z.txt").write_text(A)
    assert [found.place for found in read_all([str(tmp_path)], io.StringIO().read)] == [
        Place(f"{tmp_path}/a.yaml", 1),
        Place(f"{tmp_path}/b/c.yml", 1),
    ]
    (found,) = read_all([f"{tmp_path}/z.txt"], io.StringIO().read)
    assert str(found.place) == f"{tmp_path}/z.txt:1"


def test_standard_input_is_a_dash() -> None:
    """cozypkg-F3"""
    (found,) = read_all(["-"], io.StringIO(A).read)
    assert str(found.place) == "standard input:1"
    session = Session(stdin=io.TextIOWrapper(io.BytesIO(b"ab\xff"), encoding="latin-1"))
    with pytest.raises(CommandError, match=r"^standard input: byte 3 is no UTF-8$"):
        read_all(["-"], session.standard_input)


def test_standard_input_can_be_named_once() -> None:
    with pytest.raises(CommandError, match=r"^standard input is named twice, and can be read once$"):
        read_all(["-", "-"], Session(stdin=io.StringIO(A)).standard_input)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.touch(), "FILE holds no Package and no PackageSource"),
        (lambda path: path.write_text("# nothing\n---\n---\n"), "FILE holds no Package and no PackageSource"),
        (lambda path: path.mkdir(), "FILE holds no YAML files"),
        (
            lambda path: path.write_bytes(b"\x7fELF\x00\x01"),
            "FILE: unacceptable character #x007f: control characters are not allowed",
        ),
        (lambda path: path.symlink_to(path), "FILE: too many levels of symbolic links"),
        (
            lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 65 << 20),
            "FILE holds more than 64 MiB: that is no file with Packages",
        ),
        (lambda path: path.symlink_to("/dev/zero"), "FILE holds more than 64 MiB: that is no file with Packages"),
    ],
)
def test_a_path_without_objects_is_one_sentence(make: Callable[[Path], object], says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    make(path)
    with pytest.raises(CommandError) as error:
        read_all([str(path)], io.StringIO().read)
    assert str(error.value) == says.replace("FILE", str(path))


def test_a_name_that_no_file_can_have_is_one_sentence() -> None:
    with pytest.raises(CommandError, match=r"^'a\\x00b' is no name of a file: embedded null byte$"):
        read_all(["a\0b"], io.StringIO().read)


def test_charts_in_a_folder_are_no_objects(tmp_path: Path) -> None:
    (tmp_path / "web" / "templates").mkdir(parents=True)
    (tmp_path / "web" / "Chart.yaml").write_text("name: web\n")
    (tmp_path / "web" / "templates" / "pod.yaml").write_text("kind: {{ .Values.kind }}\n")
    (tmp_path / "a.yaml").write_text(A)
    assert [found.object.metadata.name for found in read_all([str(tmp_path)], io.StringIO().read)] == ["a"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"/gone: no such file or directory$"):
        read_all([str(tmp_path / "gone")], io.StringIO().read)
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "gone")
    with pytest.raises(CommandError, match=r"/dangling.yaml: no such file or directory$"):
        read_all([str(tmp_path)], io.StringIO().read)
