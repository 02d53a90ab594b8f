"""What a person can get wrong: one clear sentence, an exit code, nothing half-written."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from support.sandbox import cozystack


def repository(folder: Path, **files: str) -> Path:
    """A package repository that is just enough for the checks, with files laid over it."""
    base = {"core/platform/Chart.yaml": "name: platform\nversion: 0.0.0\n", **files}
    for path, content in base.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder


SOURCE = """\
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata:
  name: acme.db
spec:
  sourceRef: {kind: OCIRepository, name: acme, namespace: acme}
  variants:
    - name: default
      components:
        - {name: db, path: system/db}
"""


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"system/db/Chart.yaml": "name: [\n"}, "system/db/Chart.yaml:2: did not find expected node content"),
        ({"system/db/Chart.yaml": "name: db\n"}, "system/db/Chart.yaml: a chart needs a version"),
        (
            {"system/db/Chart.yaml": "name: db\nversion: '1'\n", "system/db/values.yaml": "- a\n"},
            "system/db/values.yaml: values are a map",
        ),
        (
            {"core/platform/sources/db.yaml": SOURCE},
            "core/platform/sources/db.yaml: PackageSource acme.db, variant default, component db: "
            'the path "system/db" is not in the repository',
        ),
        (
            {"core/platform/sources/db.yaml": SOURCE.partition("  variants:")[0] + "  variants: 5\n"},
            "core/platform/sources/db.yaml: Expected `array`, got `int` - at `$.spec.variants`",
        ),
    ],
)
def test_a_broken_repository_is_refused_with_file_and_line(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    folder = repository(tmp_path / "packages", **files)
    ran = cozystack("up", "--once", "--state-dir", tmp_path / "state", "--platform-source", folder)
    assert ran.code == 1
    assert ran.said.startswith(f"cozystack: {sentence}")
    assert not (tmp_path / "state" / "state.json").exists()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("missing", "does not exist"),
        ("empty", "is not a package repository: it has no core/platform/Chart.yaml"),
        ("ftp://example.org/x", "is neither a folder nor an oci://, https://, http:// or ssh:// URL"),
        ("oci://example.org", "--platform-source:"),
    ],
)
def test_what_is_no_repository_is_refused(tmp_path: Path, source: str, sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    named = source if "://" in source else tmp_path / source
    ran = cozystack("up", "--once", "--state-dir", tmp_path / "state", "--platform-source", named)
    assert ran.code == 1
    assert sentence in ran.said
    assert len(ran.said.splitlines()) == 1


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = cozystack("up", "--once", "--state-dir", tmp_path / "state", "--port", str(port))
    assert ran.code == 1
    assert f"port {port} for the API server cannot be used (address already in use)" in ran.said


def test_state_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"format": 99}')
    ran = cozystack("up", "--once", "--state-dir", tmp_path)
    assert ran.code == 1
    assert "was written by a newer version of this program (format 99, this one reads 1)" in ran.said
    assert (tmp_path / "state.json").read_text() == '{"format": 99}'


def test_a_folder_of_somebody_else_is_neither_used_nor_wiped(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for command in (("up", "--once"), ("down", "--wipe")):
        ran = cozystack(*command, "--state-dir", tmp_path)
        assert ran.code == 1
        assert "not the state of a sandbox" in ran.said
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "arguments", [("up", "--timeout", "-3s"), ("up", "--timeout", "soon"), ("up", "--helm", "no-such-helm"), ("upp",)]
)
def test_wrong_usage_has_a_code_of_its_own(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = cozystack(*arguments)
    assert ran.code == 2
    assert ran.said


def test_values_that_are_no_map_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("- a\n")
    ran = cozystack("up", "--state-dir", tmp_path / "state", "--values", file)
    assert (ran.code, ran.said) == (1, f"cozystack: {file}: values are a map\n")
