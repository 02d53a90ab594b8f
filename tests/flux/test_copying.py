"""What a copy operation selects, where it lands, and what it does to files that are there already."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozystack.api import yaml
from cozystack.api.flux import Copy
from cozystack.flux.copying import CopyError, build
from cozystack.oci import pack_files

FILES = {
    "README.md": b"read me",
    "charts/app/Chart.yaml": b"name: app",
    "charts/app/README.md": b"app",
    "charts/app/templates/deploy.yaml": b"kind: Deployment",
    "charts/app/templates/tests/t.yaml": b"kind: Pod",
    "charts/apple/Chart.yaml": b"name: apple",
}


def copied(from_: str, to: str = "@artifact/", *exclude: str) -> list[str]:
    """The paths that one operation makes."""
    return sorted(build([Copy(from_=from_, to=to, exclude=exclude)], {"src": FILES}))


def test_two_stars_copy_what_is_below_a_folder_and_not_its_neighbours() -> None:
    assert build([Copy(from_="@src/charts/app/**", to="@artifact/app/")], {"src": FILES}) == {
        "app/Chart.yaml": b"name: app",
        "app/README.md": b"app",
        "app/templates/deploy.yaml": b"kind: Deployment",
        "app/templates/tests/t.yaml": b"kind: Pod",
    }


@pytest.mark.parametrize("pattern", ["@src/**", "@src/"])
def test_the_root_of_a_source_is_all_of_it(pattern: str) -> None:
    assert copied(pattern) == sorted(FILES)
    assert copied(pattern, "@artifact/all/") == sorted(f"all/{path}" for path in FILES)


@pytest.mark.parametrize("pattern", ["@src/charts/apple", "@src/charts/apple/"])
def test_a_folder_is_copied_as_a_subfolder(pattern: str) -> None:
    assert copied(pattern, "@artifact/vendor/") == ["vendor/apple/Chart.yaml"]


@pytest.mark.parametrize(
    ("to", "path"),
    [
        ("@artifact/", "Chart.yaml"),
        ("@artifact/x/", "x/Chart.yaml"),
        ("@artifact/x", "x"),
        ("@artifact/x/y.yaml", "x/y.yaml"),
        ("@artifact/x//./y.yaml", "x/y.yaml"),
        ("@artifact/..x", "..x"),
    ],
)
def test_a_file_goes_into_a_folder_or_takes_a_name(to: str, path: str) -> None:
    assert build([Copy(from_="@src/charts/app/Chart.yaml", to=to)], {"src": FILES}) == {path: b"name: app"}


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("@src/charts/app/*", ["Chart.yaml", "README.md"]),
        ("@src/charts/app/*.yaml", ["Chart.yaml"]),
        ("@src/charts/app/**/*.yaml", ["Chart.yaml", "deploy.yaml", "t.yaml"]),
        ("@src/**/*.md", ["README.md"]),
        ("@src/*/*/?hart.yaml", ["Chart.yaml"]),
        ("@src/charts/app/[CR]*", ["Chart.yaml", "README.md"]),
        ("@src/charts/app/[!C]*", ["README.md"]),
        ("@src/charts/app/[A-D]hart.yaml", ["Chart.yaml"]),
        ("@src/charts/app/*.md", ["README.md"]),
    ],
)
def test_a_glob_copies_its_matches_by_their_names(pattern: str, paths: list[str]) -> None:
    assert copied(pattern) == paths


@pytest.mark.parametrize("pattern", ["@src/*/Chart.yaml", "@src/charts?app/*", "@src/charts[!x]app/*", "@src/charts/app/x*"])
def test_a_star_a_question_mark_and_a_set_stay_within_their_folder(pattern: str) -> None:
    with pytest.raises(CopyError) as caught:
        copied(pattern)
    assert str(caught.value) == f'"{pattern}" finds nothing in its source'


@pytest.mark.parametrize("pattern", ["@src/[", "@src/charts/[z-a]*"])
def test_a_broken_pattern_is_named(pattern: str) -> None:
    with pytest.raises(CopyError) as caught:
        copied(pattern)
    assert str(caught.value) == f'"{pattern.removeprefix("@src/")}" is not a pattern'


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("*.md", ["Chart.yaml", "templates/deploy.yaml", "templates/tests/t.yaml"]),
        ("**/tests/**", ["Chart.yaml", "README.md", "templates/deploy.yaml"]),
        ("templates/**", ["Chart.yaml", "README.md"]),
        ("charts/app/templates/**", ["Chart.yaml", "README.md"]),
        ("**/*.yaml", ["README.md"]),
        ("none", ["Chart.yaml", "README.md", "templates/deploy.yaml", "templates/tests/t.yaml"]),
    ],
)
def test_an_excluded_pattern_is_read_from_the_source_and_from_the_folder(exclude: str, left: list[str]) -> None:
    assert copied("@src/charts/app/**", "@artifact/", exclude) == left


def test_exclusion_is_the_same_for_a_glob_and_for_a_folder() -> None:
    assert copied("@src/charts/app/*", "@artifact/", "*.md") == ["Chart.yaml"]
    assert copied("@src/charts/app/*", "@artifact/", "charts/app/*.md") == ["Chart.yaml"]
    assert copied("@src/charts/app", "@artifact/", "templates/**", "README.md") == ["app/Chart.yaml"]


def test_a_later_operation_overwrites() -> None:
    operations = [Copy(from_="@a/x", to="@artifact/x"), Copy(from_="@b/x", to="@artifact/x", strategy="Overwrite")]
    assert build(operations, {"a": {"x": b"1"}, "b": {"x": b"2"}}) == {"x": b"2"}


def test_values_are_merged_as_helm_merges_them() -> None:
    sources = {
        "a": {"values.yaml": b"image: {name: app, tag: '1'}\nlist: [1, 2]\nkept: true\n"},
        "b": {"values.yaml": b"image: {tag: '2'}\nlist: [3]\nadded: x\n"},
    }
    operations = [
        Copy(from_="@a/values.yaml", to="@artifact/", strategy="Merge"),
        Copy(from_="@b/values.yaml", to="@artifact/values.yaml", strategy="Merge"),
    ]
    assert yaml.load(build(operations, sources)["values.yaml"]) == {
        "image": {"name": "app", "tag": "2"},
        "list": [3],
        "kept": True,
        "added": "x",
    }


def test_an_empty_file_merges_as_an_empty_map() -> None:
    sources = {"a": {"v": b"x: 1\n"}, "b": {"v": b"# nothing\n"}}
    operations = [Copy(from_=f"@{alias}/v", to="@artifact/v", strategy="Merge") for alias in ("b", "a", "b")]
    assert yaml.load(build(operations, sources)["v"]) == {"x": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"- 1\n", "v is not a map, so it cannot be merged"), (b"a: [\n", "values files cannot be merged: v:")],
)
def test_what_is_no_map_cannot_be_merged(content: bytes, message: str) -> None:
    operations = [Copy(from_=f"@{alias}/v", to="@artifact/v", strategy="Merge") for alias in ("a", "b")]
    with pytest.raises(CopyError) as caught:
        build(operations, {"a": {"v": b"x: 1\n"}, "b": {"v": content}})
    assert str(caught.value).startswith(message)


def test_an_archive_is_extracted_with_its_folders() -> None:
    archive = pack_files([("app/Chart.yaml", b"name: app"), ("app/templates/x.yaml", b"x")])
    assert build([Copy(from_="@s/app-1.tgz", to="@artifact/charts/", strategy="Extract")], {"s": {"app-1.tgz": archive}}) == {
        "charts/app/Chart.yaml": b"name: app",
        "charts/app/templates/x.yaml": b"x",
    }


def test_a_glob_extracts_the_archives_and_passes_over_the_rest() -> None:
    files = {"c/a.tgz": pack_files([("a", b"1")]), "c/d/b.tar.gz": pack_files([("b", b"2")]), "c/README.md": b"text"}
    assert build([Copy(from_="@s/c/**", to="@artifact/", strategy="Extract")], {"s": files}) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("pattern", ["@s/file.txt", "@s/folder", "@s/folder/"])
def test_only_archives_can_be_extracted_by_name(pattern: str) -> None:
    files = {"file.txt": b"text", "folder/a.tgz": pack_files([("a", b"1")])}
    with pytest.raises(CopyError) as caught:
        build([Copy(from_=pattern, to="@artifact/", strategy="Extract")], {"s": files})
    assert str(caught.value) == f'"{pattern}" is no archive (.tgz or .tar.gz), so it cannot be extracted'


def test_an_alias_that_is_no_source_is_named() -> None:
    with pytest.raises(CopyError) as caught:
        build([Copy(from_="@other/x", to="@artifact/")], {"src": FILES})
    assert str(caught.value) == '"@other/x" names the source other, which there is not'


@pytest.mark.parametrize(
    ("from_", "to"),
    [
        ("@src/../x", "@artifact/"),
        ("@src/charts/../../x", "@artifact/"),
        ("@src/../**", "@artifact/"),
        ("@src/../*", "@artifact/"),
        ("@src/README.md", "@artifact/../x"),
        ("@src/README.md", "@artifact/x/../../y"),
        ("@src/README.md", "@artifact/.."),
        ("@src/charts/**", "@artifact/../"),
    ],
)
def test_no_operation_leads_out_of_its_folder(from_: str, to: str) -> None:
    with pytest.raises(CopyError) as caught:
        copied(from_, to)
    assert str(caught.value).endswith("leads out of its folder")


def test_a_file_needs_a_name() -> None:
    with pytest.raises(CopyError) as caught:
        copied("@src/README.md", "@artifact/x/..")
    assert str(caught.value) == '"@artifact/x/.." names no file'


@given(st.text("ab./*?[]!-@", max_size=12), st.text("ab./", max_size=8))
def test_whatever_is_asked_for_stays_inside(pattern: str, target: str) -> None:
    try:
        result = build([Copy(from_=f"@s/{pattern}", to=f"@artifact/{target}")], {"s": {"a": b"1", "a/b.b": b"2", "b/a": b"3"}})
    except CopyError:
        return
    for path in result:
        assert path not in ("", ".") and not path.startswith("/") and ".." not in path.split("/") and "" not in path.split("/")
