"""The YAML dialect is the one that Kubernetes reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozystack.api import yaml
from cozystack.api.yaml import Document, YamlError

SCALARS = [
    ("y", True),
    ("No", False),
    ("on", True),
    ("OFF", False),
    ("true", True),
    ("yEs", "yEs"),
    ("1e3", 1000),
    ("1.5e1", 15),
    ("2.5", 2.5),
    (".5", 0.5),
    ("014", 12),
    ("0o14", 12),
    ("0x1F", 31),
    ("0b11", 3),
    ("1_000", 1000),
    ("-7", -7),
    ("+7", 7),
    ("9223372036854775808", 9223372036854775808),
    ("12:30:45", "12:30:45"),
    ("2026-01-01", "2026-01-01"),
    ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    ("=", "="),
    ("~", None),
    ("Null", None),
    ("", None),
    ("1.2.3", "1.2.3"),
    ("v1", "v1"),
    ("'y'", "y"),
    ('"014"', "014"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_scalar_is_read_as_kubernetes_reads_it(text: str, value: object) -> None:
    read = yaml.load(f"a: {text}\n")["a"]
    assert (read, type(read)) == (value, type(value))


def test_keys_that_are_not_text_become_text() -> None:
    assert yaml.load("1: a\ntrue: b\n~: c\n1.5: d\n") == {"1": "a", "true": "b", "null": "c", "1.5": "d"}


def test_documents_know_their_lines_and_empty_ones_are_skipped() -> None:
    assert yaml.load_all("# nothing\n---\na: 1\n---\n---\n- b\n", source="f.yaml") == [
        Document({"a": 1}, "f.yaml", 3),
        Document(["b"], "f.yaml", 6),
    ]


def test_a_merge_key_gives_way_to_keys_beside_it() -> None:
    assert yaml.load("base: &b {a: 1, c: 3}\nd:\n  <<: *b\n  a: 2\n")["d"] == {"a": 2, "c": 3}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 'the key "a" stands twice in one map'),
        ("a: [1\nb: 2\n", 2, "did not find expected ',' or ']'"),
        ("a:\n\tb: 1\n", 2, "cannot start any token"),
        ("a: *nowhere\n", 1, "undefined alias"),
        ("? [a]\n: b\n", 1, "neither text nor a number"),
    ],
)
def test_broken_yaml_names_file_and_line(text: str, line: int, says: str) -> None:
    with pytest.raises(YamlError) as caught:
        yaml.load_all(text, source="f.yaml")
    assert (caught.value.source, caught.value.line) == ("f.yaml", line)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"f.yaml:{line}: ")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a: \x80", b"\x00"])
def test_bytes_that_are_not_text_are_an_error(data: bytes) -> None:
    with pytest.raises(YamlError):
        yaml.load_all(data, source="f.yaml")


def test_one_document_is_not_two() -> None:
    with pytest.raises(YamlError, match=r"f\.yaml:3: one document was expected"):
        yaml.load("a: 1\n---\nb: 2\n", source="f.yaml")
    assert yaml.load("") is None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abyn01.e=~:-", max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_what_is_written_is_read_back(value: object) -> None:
    assert yaml.load(yaml.dump(value)) == value


@pytest.mark.parametrize("text", [text for text, _ in SCALARS] + ["null", "- a", "a: b", "#c", "08", "1:2"])
def test_text_that_looks_like_something_else_is_quoted(text: str) -> None:
    assert yaml.load(yaml.dump({"a": text})) == {"a": text}
