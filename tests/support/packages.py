"""The package repository as Flux and Helm see it: charts put together from PackageSources, and rendered by real Helm.

``assemble`` does for one component what the artifact generator does: copy the chart, put the libraries into ``charts/``, write
the first values file over ``values.yaml`` and merge the others into it (specification, operator 3.3).
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from helm_python import _native
from helm_python.chart import Chart
from helm_python.errors import HelmError

from cozystack.api import yaml
from cozystack.apiserver.schema import Schema, from_crd, from_openapi, unknown_fields, validate

PACKAGES = Path(__file__).resolve().parents[2] / "packages"
PLATFORM = PACKAGES / "core" / "platform"
PRESETS = ("default", "isp-full", "isp-hosted", "isp-full-generic")
KUBE_VERSION = "v1.37.0"
API_VERSIONS = (
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "operator.victoriametrics.com/v1beta1/VMServiceScrape",
)
# What every release is given as values besides its own.
CLUSTER: dict[str, Any] = {"root-host": "example.org", "cluster-domain": "cozy.local", "expose-ingress": "tenant-root"}

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """One component of one variant, as its PackageSource has it."""

    package: str
    variant: str
    spec: Mapping[str, Any]
    libraries: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def namespace(self) -> str:
        return str(self.spec.get("install", {}).get("namespace", "cozy-system"))

    @property
    def release(self) -> str:
        return str(self.spec.get("install", {}).get("releaseName", self.name))

    @property
    def artifact(self) -> str:
        return "-".join(part.replace(".", "-") for part in (self.package, self.variant, self.name))

    def __str__(self) -> str:
        return f"{self.package}/{self.variant}/{self.name}"


@cache
def sources() -> dict[str, Object]:
    """The catalogue: PackageSources by name, in the order of their files."""
    return {source["metadata"]["name"]: source for source in map(_read, sorted((PLATFORM / "sources").glob("*.yaml")))}


def components() -> Iterator[Component]:
    """Every component of every variant of every source."""
    for name, source in sources().items():
        for variant in source["spec"]["variants"]:
            libraries = {lib.get("name") or lib["path"].rpartition("/")[2]: lib["path"] for lib in variant.get("libraries", ())}
            for spec in variant.get("components", ()):
                used = tuple((library, libraries[library]) for library in spec.get("libraries", ()))
                yield Component(name, variant["name"], spec, used)


def assemble(component: Component, folder: Path) -> Path:
    """Write the chart of a component below ``folder``; returns its own folder."""
    path = PACKAGES / component.spec["path"]
    chart = folder / component.artifact / path.name
    shutil.copytree(path, chart)
    for name, library in component.libraries:
        shutil.copytree(PACKAGES / library, chart / "charts" / name)
    files = [path / file for file in component.spec.get("valuesFiles", ())]
    if files:
        merged: Any = {}
        for file in files:
            merged = merge(merged, _read(file) or {})
        (chart / "values.yaml").write_text(yaml.dump(merged))
    return chart


def merge(below: Any, above: Any) -> Any:
    """Maps are merged, everything else is replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: merge(below[key], value) if key in below else value for key, value in above.items()}}
    return above


def load(path: Path) -> Chart:
    return Chart.load(path)


def render(
    chart: Chart,
    values: Mapping[str, Any] | None = None,
    *,
    name: str,
    namespace: str,
    api_versions: Sequence[str] = API_VERSIONS,
) -> dict[str, str]:
    """Texts by template, as ``helm template`` would give them; raises ``HelmError``."""
    options = {"name": name, "namespace": namespace, "kube_version": KUBE_VERSION, "api_versions": list(api_versions)}
    texts: dict[str, str] = json.loads(
        _native.call_string("helm_render", chart._raw(), json.dumps(values or {}), json.dumps(options))
    )
    return texts


def objects(texts: Mapping[str, str]) -> list[Object]:
    """The objects in rendered texts, notes left out."""
    found = []
    for path, text in sorted(texts.items()):
        if not path.endswith("NOTES.txt"):
            found += [document.value for document in yaml.load_all(text, source=path) if document.value is not None]
    return found


def crds(chart: Chart) -> list[Object]:
    """The objects of the folder ``crds/`` of a chart."""
    return [
        document.value for file in chart.crds for document in yaml.load_all(file["data"], source=file["name"]) if document.value
    ]


def failure(chart: Chart, values: Mapping[str, Any], *, name: str, namespace: str) -> str:
    """Why a chart does not render."""
    try:
        render(chart, values, name=name, namespace=namespace)
    except HelmError as error:
        return str(error)
    raise AssertionError("the chart renders")


@cache
def platform_chart(preset: str, folder: Path) -> Chart:
    """The platform's chart with the values of a preset, as its artifact has them."""
    files = ["values.yaml", *([] if preset == "default" else [f"values-{preset}.yaml"])]
    spec = {"name": "platform", "path": "core/platform", "valuesFiles": files}
    return load(assemble(Component("cozystack.cozystack-platform", preset, spec, ()), folder))


def platform_values(values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Values by which the platform's chart renders without a cluster."""
    source = {"sourceRef": {"spec": {"url": "oci://example.org/packages", "interval": "5m0s"}}}
    merged: dict[str, Any] = merge(source, dict(values or {}))
    return merged


def of_kind(found: Sequence[Object], kind: str) -> dict[str, Object]:
    """Objects of a kind by name."""
    return {item["metadata"]["name"]: item for item in found if item["kind"] == kind}


def _read(path: Path) -> Any:
    return yaml.load(path.read_text(), source=path.name)


class Schemas:
    """What the API server would say about an object: built-in kinds, the platform's own CRDs, and those of all charts."""

    def __init__(self, crds: Sequence[Object]) -> None:
        folder = resources.files("cozystack.apiserver.data")
        self._documents = json.loads(gzip.decompress((folder / "openapi-v3.json.gz").read_bytes()))
        self._known: dict[tuple[str, str], Schema | None] = {}
        for crd in crds:
            spec = crd["spec"]
            for version in spec["versions"]:
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                self._known[key] = from_crd(version["schema"]["openAPIV3Schema"])

    def faults(self, item: Object) -> list[str]:
        """Everything that is wrong with an object, unknown fields too."""
        schema = self._schema(item["apiVersion"], item["kind"])
        if schema is None:
            return [f"{item['apiVersion']} {item['kind']} is not known"]
        errors = [str(error) for error in validate(schema, item)]
        return errors + [f"{path}: unknown field" for path in unknown_fields(schema, item)]

    def _schema(self, api_version: str, kind: str) -> Schema | None:
        key = (api_version, kind)
        if key not in self._known:
            self._known[key] = self._built_in(api_version, kind)
        return self._known[key]

    def _built_in(self, api_version: str, kind: str) -> Schema | None:
        group, _, version = api_version.rpartition("/")
        document = self._documents.get(f"apis/{api_version}" if group else f"api/{api_version}")
        if document is None:
            return None
        wanted = {"group": group, "version": version, "kind": kind}
        for name, schema in document["components"]["schemas"].items():
            if wanted in schema.get("x-kubernetes-group-version-kind", ()):
                return from_openapi(document, name)
        return None
