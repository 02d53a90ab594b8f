"""The chart of an artifact, with the artifact's digest in its version."""

from __future__ import annotations

from pathlib import Path

import pytest

from cozystack.flux.charts import ChartFiles, ChartFolderError, chart_of

DIGEST = "sha256:0123456789abcdef" + "0" * 48


def test_the_digest_becomes_build_metadata_and_nothing_else_changes() -> None:
    files = {"Chart.yaml": b"apiVersion: v2\nname: app\nversion: 1.2.3\nappVersion: 9\n", "templates/a.yaml": b"a"}
    assert chart_of(files, DIGEST) == ChartFiles(
        "app",
        "1.2.3+0123456789ab",
        {
            "Chart.yaml": b'apiVersion: v2\nname: app\nversion: "1.2.3+0123456789ab"\nappVersion: 9\n',
            "templates/a.yaml": b"a",
        },
    )


@pytest.mark.parametrize(
    ("line", "rewritten"),
    [
        (b"version: 1.2.3-rc.1", b'version: "1.2.3-rc.1+0123456789ab"'),
        (b'version: "1.2.3"', b'version: "1.2.3+0123456789ab"'),
        (b"version: '1.2.3'", b'version: "1.2.3+0123456789ab"'),
        (b"version:   1.2.3+build  # placeholder", b'version: "1.2.3+0123456789ab"'),
        (b'version: "1.2.3" # say', b'version: "1.2.3+0123456789ab"'),
        (b"version: 1.2.3\r", b'version: "1.2.3+0123456789ab"\r'),
    ],
)
def test_a_version_may_be_written_in_many_ways(line: bytes, rewritten: bytes) -> None:
    text = b"dependencies:\n- name: x\n  version: 9.9.9\nname: 'app'\n# version: 8.8.8\n%s\ntype: application\n"
    assert chart_of({"Chart.yaml": text % line}, DIGEST).files == {"Chart.yaml": text % rewritten}


def test_the_topmost_chart_is_taken_with_its_subcharts() -> None:
    files = {
        "app/charts/sub/Chart.yaml": b"name: sub\nversion: 2.0.0\n",
        "app/Chart.yaml": b"name: app\nversion: 1.0.0\n",
        "app/values.yaml": b"x: 1\n",
        "application/values.yaml": b"not of it",
        "README.md": b"not of it",
    }
    found = chart_of(files, DIGEST)
    assert (found.name, sorted(found.files)) == ("app", ["Chart.yaml", "charts/sub/Chart.yaml", "values.yaml"])
    assert found.files["charts/sub/Chart.yaml"] == files["app/charts/sub/Chart.yaml"]


def test_of_charts_at_the_same_depth_the_first_is_taken() -> None:
    chart = b"name: %s\nversion: 1.0.0\n"
    assert chart_of({"b/Chart.yaml": chart % b"b", "a/Chart.yaml": chart % b"a"}, DIGEST).name == "a"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "the artifact holds no Chart.yaml"),
        ({"values.yaml": b"", "MyChart.yaml": b"name: x"}, "the artifact holds no Chart.yaml"),
        ({"a/Chart.yaml": b"name: app\n"}, "a/Chart.yaml has no version"),
        ({"Chart.yaml": b"name: app\n version: 1.0.0\n"}, "Chart.yaml has no version"),
        ({"Chart.yaml": b"version: 1.0.0\n"}, "Chart.yaml has no name"),
        ({"Chart.yaml": b"version: 1.0.0\nname: ../out\n"}, 'Chart.yaml has the name "../out", which is none for a folder'),
        ({"Chart.yaml": b"version: 1.0.0\nname: ..\n"}, 'Chart.yaml has the name "..", which is none for a folder'),
        ({"Chart.yaml": b"version: 1.0.0\nname: /tmp\n"}, 'Chart.yaml has the name "/tmp", which is none for a folder'),
    ],
)
def test_what_is_no_chart_is_refused(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(ChartFolderError) as caught:
        chart_of(files, DIGEST)
    assert str(caught.value) == message


def test_the_chart_is_on_disk_as_long_as_its_context(tmp_path: Path) -> None:
    chart = chart_of({"Chart.yaml": b"name: app\nversion: 1.0.0\n", "templates/deep/x.yaml": b"x"}, DIGEST)
    with chart.folder(tmp_path / "work") as folder:
        assert folder.name == "app"
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert found == chart.files
    assert list((tmp_path / "work").iterdir()) == []
