"""Rendering and linting, by each back end, without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cozystack.api.yaml import load_all
from cozystack.helm import ChartError, HelmEngine, LintMessage, Rendered, RenderRequest, ValuesError
from cozystack.oci import pack_files
from helm.cluster import CHART, CONFIG_MAP, chart

pytestmark = pytest.mark.asyncio(loop_scope="module")

CRD = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: %s}\n"
SCHEMA = '{"type": "object", "properties": {"value": {"type": "integer"}}}'


async def render(engine: HelmEngine, chart: str, **more: Any) -> Rendered:
    return await engine.render(RenderRequest(chart=chart, name="demo", namespace="acme", **more))


def objects(texts: list[str]) -> list[Any]:
    return [document.value for text in texts for document in load_all(text) if document.value is not None]


async def rendered(engine: HelmEngine, chart: str, **more: Any) -> dict[str, list[Any]]:
    """Objects by template."""
    found = await render(engine, chart, **more)
    return {path.removeprefix("demo/"): objects([text]) for path, text in found.manifests.items()}


def named(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_every_template_gives_its_objects_hooks_among_them(engine: HelmEngine, tmp_path: Path) -> None:
    hook = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hook, annotations: {helm.sh/hook: pre-install}}\n"
    folder = chart(
        tmp_path,
        {
            "values.yaml": "value: default\nsub: {value: from above}\n",
            "templates/one.yaml": CONFIG_MAP,
            "templates/two.yaml": "---\n" + CONFIG_MAP + "---\n" + CONFIG_MAP.replace(".Release.Name", ".Release.Namespace"),
            "templates/hook.yaml": hook,
            "templates/nothing.yaml": "{{ if .Values.missing }}a: 1{{ end }}\n",
            "templates/_helpers.tpl": '{{ define "x" }}x{{ end }}',
            "templates/NOTES.txt": "Thanks for {{ .Values.value }}.",
            "charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 0.1.0\n",
            "charts/sub/templates/three.yaml": CONFIG_MAP,
        },
    )

    assert await rendered(engine, folder) == {
        "templates/one.yaml": [named("demo", value="default")],
        "templates/two.yaml": [named("demo", value="default"), named("acme", value="default")],
        "templates/hook.yaml": objects([hook]),
        "charts/sub/templates/three.yaml": [named("demo", value="from above")],
    }


async def test_blocks_of_text_keep_their_last_newlines(engine: HelmEngine, tmp_path: Path) -> None:
    files = {
        "a": "a: |\n  one\n---\na: |\n  two\n",
        "b": "b: |\n  bare",
        "c": "c: |+\n  kept\n\n---\nc: |+\n  kept\n\n",
        "d": "d: |\n  bare",
    }
    folder = chart(tmp_path, {f"templates/{name}.yaml": text for name, text in files.items()})

    assert await rendered(engine, folder) == {
        "templates/a.yaml": [{"a": "one\n"}, {"a": "two\n"}],
        "templates/b.yaml": [{"b": "bare"}],
        "templates/c.yaml": [{"c": "kept\n\n"}, {"c": "kept\n\n"}],
        "templates/d.yaml": [{"d": "bare"}],
    }


async def test_values_are_laid_over_those_of_the_chart_and_null_removes(engine: HelmEngine, tmp_path: Path) -> None:
    template = "data: {{ .Values.map | toJson }}\n"
    folder = chart(tmp_path, {"values.yaml": "map: {a: 1, b: {c: 2, d: 3}, e: 4}\n", "templates/a.yaml": template})
    values = {"map": {"b": {"c": "ü", "d": None}, "e": None, "f": [1]}}

    assert await rendered(engine, folder, values=values) == {
        "templates/a.yaml": [{"data": {"a": 1, "b": {"c": "ü"}, "f": [1]}}]
    }


async def test_a_chart_sees_the_cluster_that_the_request_describes(engine: HelmEngine, tmp_path: Path) -> None:
    template = """\
version: {{ .Capabilities.KubeVersion.Version }}
widgets: {{ .Capabilities.APIVersions.Has "acme.example.com/v1/Widget" }}
others: {{ .Capabilities.APIVersions.Has "acme.example.com/v2" }}
install: {{ .Release.IsInstall }}
upgrade: {{ .Release.IsUpgrade }}
found: {{ len (lookup "v1" "Namespace" "" "") }}
"""
    folder = chart(tmp_path, {"templates/a.yaml": template})
    known = {"kube_version": "v1.30.1", "api_versions": ("acme.example.com/v1", "acme.example.com/v1/Widget")}
    seen = {"version": "v1.30.1", "widgets": True, "others": False, "install": True, "upgrade": False, "found": 0}

    assert await rendered(engine, folder, **known) == {"templates/a.yaml": [seen]}
    upgraded = {**seen, "install": False, "upgrade": True}
    assert await rendered(engine, folder, upgrade=True, **known) == {"templates/a.yaml": [upgraded]}


async def test_crds_are_those_of_the_chart_and_its_dependencies(engine: HelmEngine, tmp_path: Path) -> None:
    folder = chart(
        tmp_path,
        {
            "crds/a.yaml": CRD % "a" + "---\n" + CRD % "b",
            "charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 0.1.0\n",
            "charts/sub/crds/c.yaml": CRD % "c",
        },
    )

    given = [crd["metadata"]["name"] for crd in objects(await engine.crds(Path(folder)))]
    found = [crd["metadata"]["name"] for crd in objects(list((await render(engine, folder)).crds))]
    assert (sorted(given), sorted(found)) == (["a", "b", "c"], ["a", "b", "c"])


async def test_a_chart_without_crds_has_none(engine: HelmEngine, tmp_path: Path) -> None:
    assert await engine.crds(Path(chart(tmp_path))) == []


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"templates/a.yaml": '{{ fail "no way" }}'}, "execution error at (demo/templates/a.yaml:1:3): no way"),
        ({"templates/a.yaml": '{{ required "give x" .Values.x }}'}, "give x"),
        ({"templates/a.yaml": "{{ .Values.x.y.z }}"}, "nil pointer evaluating interface {}.y"),
        ({"templates/a.yaml": '{{ include "none" . }}'}, 'no template "none"'),
        ({"templates/a.yaml": "{{ if"}, "parse error at (demo/templates/a.yaml:1): unclosed action"),
        ({"templates/a.yaml": "a: [\n"}, "YAML parse error on demo/templates/a.yaml"),
        ({"values.yaml": "a: [\n"}, "cannot load values.yaml"),
        ({"Chart.yaml": CHART + "type: library\n"}, "library charts are not installable"),
        ({"Chart.yaml": "name: ["}, "Chart.yaml"),
        ({"Chart.yaml": "apiVersion: v2\nname: demo\nversion: x.y\n"}, 'chart.metadata.version "x.y" is invalid'),
        (
            {"Chart.yaml": CHART + "dependencies: [{name: sub, version: 1.0.0, repository: ''}]\n"},
            "found in Chart.yaml, but missing in charts/ directory: sub",
        ),
    ],
    ids=["fail", "required", "nil", "include", "template", "yaml", "values", "library", "metadata", "version", "dependency"],
)
async def test_a_chart_that_does_not_render_is_an_error_of_the_chart(
    engine: HelmEngine, tmp_path: Path, files: dict[str, str], words: str
) -> None:
    with pytest.raises(ChartError) as refused:
        await render(engine, chart(tmp_path, files))

    assert type(refused.value) is ChartError
    assert words in refused.value.message
    assert "--debug" not in refused.value.message


async def test_values_that_do_not_fit_the_schema_are_an_error_of_the_values(engine: HelmEngine, tmp_path: Path) -> None:
    folder = chart(tmp_path, {"values.schema.json": SCHEMA, "templates/a.yaml": "a: {{ .Values.value }}\n"})

    assert await rendered(engine, folder, values={"value": 1}) == {"templates/a.yaml": [{"a": 1}]}
    with pytest.raises(ValuesError, match="at '/value': got string, want integer"):
        await render(engine, folder, values={"value": "text"})


@pytest.mark.parametrize("name", ["missing", "empty"])
async def test_a_folder_that_is_no_chart_is_an_error_of_the_chart(engine: HelmEngine, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    path = tmp_path / name

    for request in (render(engine, str(path)), engine.crds(path), engine.lint(path, {})):
        with pytest.raises(ChartError):
            await request


async def test_a_good_chart_has_nothing_to_complain_of(engine: HelmEngine, tmp_path: Path) -> None:
    files = {"Chart.yaml": CHART + "icon: https://example.com/i.png\n", "values.yaml": "value: 1\n"}

    assert await engine.lint(Path(chart(tmp_path / "demo", {**files, "templates/a.yaml": CONFIG_MAP})), {}) == []


async def test_lint_tells_what_it_finds_and_where(engine: HelmEngine, tmp_path: Path) -> None:
    folder = chart(tmp_path / "demo", {"values.schema.json": SCHEMA, "values.yaml": "", "templates/a.yaml": CONFIG_MAP})

    found = await engine.lint(Path(folder), {"value": "text"})

    assert LintMessage("info", "Chart.yaml", "icon is recommended") in found
    (error,) = [message for message in found if message.severity == "error" and message.path == "values.yaml"]
    assert "at '/value': got string, want integer" in error.message


async def test_packed_charts_render_as_their_folders_do(engine: HelmEngine, tmp_path: Path) -> None:
    files = {"demo/Chart.yaml": CHART, "demo/values.yaml": "value: 1\n", "demo/templates/a.yaml": CONFIG_MAP}
    packed = tmp_path / "demo-1.2.3.tgz"
    packed.write_bytes(pack_files((name, text.encode()) for name, text in files.items()))

    assert await rendered(engine, str(packed)) == {"templates/a.yaml": [named("demo", value="1")]}
