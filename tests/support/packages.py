"""The package repository as the platform sees it: planned by the planner, put together as artifacts, rendered by real Helm.

Nothing here imitates a step that the platform does. PackageSources become ArtifactGenerators by the planner, these become
charts by the copy operations of the artifact generator, values are composed as for a HelmRelease, and Helm renders them.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import shutil
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cozystack.api import names, yaml
from cozystack.api.cozystack import Component, Package, PackageSource, Variant
from cozystack.api.crds import crds as own_crds
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key
from cozystack.apiserver.schema import Schema, from_crd, from_openapi, unknown_fields, validate
from cozystack.flux.charts import chart_of
from cozystack.flux.copying import build
from cozystack.flux.values import compose
from cozystack.helm import ChartError, HelmEngine, LintMessage, RenderRequest, ValuesError, deep_merge
from cozystack.operator.platform import package_source, parse_platform_source, source_object
from cozystack.planner import Catalogue, PlatformPlan, plan_platform, plan_source

T = TypeVar("T")
Object = dict[str, Any]

PACKAGES = Path(__file__).resolve().parents[2] / "packages"
PLATFORM = PACKAGES / "core" / "platform"
FLUX_CRDS = PACKAGES / "core" / "flux-aio" / "crds"
PRESETS = ("default", "isp-full", "isp-hosted", "isp-full-generic")
# Kinds that charts ask for before they render objects of them.
API_VERSIONS = (
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "operator.victoriametrics.com/v1beta1/VMServiceScrape",
)
# Packages that a platform has only when it is asked for them.
OPT_IN = ("cozystack.external-dns", "cozystack.external-secrets-operator", "cozystack.monitoring", "cozystack.nfs-driver")
# Values by which a platform has all that can be chosen.
EVERYTHING: Object = {
    "bundles": {"enabledPackages": list(OPT_IN)},
    "authentication": {"oidc": {"enabled": True}},
    "gateway": {"enabled": True},
    "networking": {"encryption": {"enabled": True}},
    "backupStorage": {"bucket": "backups", "region": "eu", "credentialsSecret": "backups"},
}
_POD_OWNERS = ("DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet")


class Helm:
    """A Helm engine behind plain calls, on an event loop of its own."""

    def __init__(self, runner: asyncio.Runner, engine: HelmEngine) -> None:
        self._runner = runner
        self._engine = engine

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def lint(self, chart: Path, values: Mapping[str, Any] | None = None) -> list[LintMessage]:
        return self.run(self._engine.lint(chart, dict(values or {})))

    def render(self, chart: Path, key: Key, values: Mapping[str, Any] | None = None) -> Rendered:
        request = RenderRequest(
            chart=str(chart), name=key.name, namespace=key.namespace, values=dict(values or {}), api_versions=API_VERSIONS
        )
        found = self.run(self._engine.render(request))
        texts = sorted(found.manifests.items())
        return Rendered(
            objects=tuple(item for path, text in texts for item in documents(text, path)),
            crds=tuple(item for text in found.crds for item in documents(text, f"{chart.name}/crds")),
            notes=found.notes,
        )

    def refusal(self, chart: Path, key: Key, values: Mapping[str, Any]) -> str:
        """Why a chart does not render."""
        try:
            self.render(chart, key, values)
        except (ChartError, ValuesError) as error:
            return str(error)
        raise AssertionError("the chart renders")


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a release brings: the objects of its templates, and the CRDs of its chart's folder ``crds``."""

    objects: tuple[Object, ...]
    crds: tuple[Object, ...] = ()
    notes: str = ""

    @property
    def everything(self) -> tuple[Object, ...]:
        return self.crds + self.objects

    def of_kind(self, kind: str) -> dict[str, Object]:
        """Objects by name."""
        return {item["metadata"]["name"]: item for item in self.everything if item["kind"] == kind}

    @property
    def definitions(self) -> tuple[Object, ...]:
        return tuple(item for item in self.everything if item["kind"] == "CustomResourceDefinition")


@dataclass(frozen=True, slots=True)
class Use:
    """One component of one variant, as its PackageSource has it."""

    source: PackageSource
    variant: Variant
    component: Component

    @property
    def artifact(self) -> str:
        return names.artifact_name(self.source.metadata.name, self.variant.name, self.component.name)

    @property
    def key(self) -> Key:
        """Its release; one that is not installed is rendered as if a tenant used it."""
        install = self.component.install
        if install is None:
            return Key("tenant-root", self.component.name)
        return Key(install.namespace, install.release_name or self.component.name)

    def __str__(self) -> str:
        return f"{self.source.metadata.name}/{self.variant.name}/{self.component.name}"


class Charts:
    """The charts of all artifacts, written to disk when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[str, Path] = {}

    def of(self, source: PackageSource, artifact: str) -> Path:
        """The chart that an artifact of ``source`` holds."""
        if artifact not in self._written:
            view = Catalogue()
            view.set_source(source)
            generator = plan_source(view, source.metadata.name).generator
            assert generator is not None
            output = next(each for each in generator.spec.artifacts if each.name == artifact)
            alias = generator.spec.sources[0].alias
            chart = chart_of(build(output.copy, {alias: _files()}), f"sha256:{'0' * 64}")
            root = self._folder / artifact / chart.name
            for path, content in chart.files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
            self._written[artifact] = root
        return self._written[artifact]

    @staticmethod
    def copy(chart: Path, folder: Path) -> Path:
        """A chart of its own, to be changed."""
        return shutil.copytree(chart, folder / chart.name)


class Platform:
    """The platform installed with one preset, up to the releases that the planner wants."""

    def __init__(self, helm: Helm, charts: Charts, preset: str, values: Mapping[str, Any] | None = None) -> None:
        self._helm = helm
        self._charts = charts
        self.preset = preset
        self.chart = platform_chart(charts, preset)
        self.rendered = helm.render(self.chart, PLATFORM_RELEASE, platform_values(values))

    @cached_property
    def shared_values(self) -> dict[str, str]:
        """The data of the Secret that all packages read."""
        data: dict[str, str] = self.rendered.of_kind("Secret")[names.VALUES_SECRET]["data"]
        return data

    @cached_property
    def cluster(self) -> dict[str, Any]:
        """The map ``_cluster``."""
        values: dict[str, Any] = yaml.load(base64.b64decode(self.shared_values["values.yaml"]))
        return dict(values["_cluster"])

    @cached_property
    def view(self) -> Catalogue:
        """The catalogue after the platform's release, on a cluster where nothing else is yet."""
        return self.catalogue()

    def catalogue(self) -> Catalogue:
        view = Catalogue()
        with view.batch():
            for item in self.rendered.objects:
                if item["kind"] == "PackageSource":
                    view.set_source(msgspec.convert(item, PackageSource))
                elif item["kind"] == "Package":
                    view.set_package(msgspec.convert(item, Package))
        for namespace in view.target_namespaces:
            view.set_values_secret(namespace)
        return view

    @cached_property
    def plan(self) -> PlatformPlan:
        return plan_platform(self.view)

    @property
    def packages(self) -> dict[str, Object]:
        return self.rendered.of_kind("Package")

    @cached_property
    def releases(self) -> dict[Key, Rendered]:
        """What each release that is wanted renders to."""
        return {release.key: self._render(package, release) for package, release in self.desired}

    @property
    def desired(self) -> Iterator[tuple[str, HelmRelease]]:
        """The releases that are wanted, each with its Package."""
        for name in self.view.packages:
            for release in self.view.desired(name):
                yield name, release

    def _render(self, package: str, release: HelmRelease) -> Rendered:
        source = self.view.source(package)
        assert source is not None
        assert release.spec.chart_ref is not None
        chart = self._charts.of(source, release.spec.chart_ref.name)
        return self._helm.render(chart, release.key, self.values_of(release))

    def values_of(self, release: HelmRelease) -> dict[str, Any]:
        async def read(kind: str, key: Key) -> dict[str, str] | None:
            return self.shared_values if (kind, key.name) == ("Secret", names.VALUES_SECRET) else None

        return self._helm.run(compose(release, read))

    def release(self, name: str) -> Rendered:
        """What the release of that name renders to."""
        ((package, release),) = (found for found in self.desired if found[1].key.name == name)
        return self._render(package, release)


# The release that the operator makes of the platform's own chart.
PLATFORM_RELEASE = Key(names.SYSTEM_NAMESPACE, "cozystack-platform")


@cache
def _files() -> dict[str, bytes]:
    """The repository as an artifact holds it."""
    return {str(path.relative_to(PACKAGES)): path.read_bytes() for path in sorted(PACKAGES.rglob("*")) if path.is_file()}


@cache
def sources() -> dict[str, PackageSource]:
    """The catalogue by name."""
    found = [msgspec.convert(value, PackageSource, strict=True) for value in source_objects()]
    return {source.metadata.name: source for source in found}


@cache
def source_objects() -> tuple[Object, ...]:
    """The catalogue as its files hold it."""
    return tuple(yaml.load(path.read_text(), source=path.name) for path in sorted((PLATFORM / "sources").glob("*.yaml")))


def uses() -> Iterator[Use]:
    """Every component of every variant of every source."""
    for source in sources().values():
        for variant in source.spec.variants:
            for component in variant.components:
                yield Use(source, variant, component)


def chart_folders() -> list[Path]:
    """The folders of all charts."""
    return [path.parent for path in sorted(PACKAGES.glob("*/*/Chart.yaml"))]


def platform_chart(charts: Charts, preset: str) -> Path:
    """The chart that the operator's own PackageSource gives for a preset."""
    described = parse_platform_source(url="oci://example.org/packages", ref="tag=1", name="cozystack-platform", secret="")
    assert described is not None
    source = package_source(described)
    return charts.of(source, names.artifact_name(source.metadata.name, preset, "platform"))


def platform_values(values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Values by which the platform's chart renders without a cluster: the spec of its own source is given, not looked up."""
    described = parse_platform_source(url="oci://example.org/packages", ref="tag=1", name="cozystack-platform", secret="")
    assert described is not None
    merged: dict[str, Any] = deep_merge({"sourceRef": {"spec": source_object(described)["spec"]}}, dict(values or {}))
    return merged


def documents(text: str, source: str) -> list[Object]:
    """The objects in a text."""
    return [document.value for document in yaml.load_all(text, source=source) if document.value is not None]


def identity(item: Object) -> str:
    metadata = item["metadata"]
    name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
    return f"{item['apiVersion']} {item['kind']} {name}"


def pods(items: Iterable[Object]) -> Iterator[tuple[Object, Object]]:
    """Objects that make Pods, each with its Pod template."""
    for item in items:
        if item["kind"] in _POD_OWNERS:
            yield item, item["spec"]["template"]
        elif item["kind"] == "CronJob":
            yield item, item["spec"]["jobTemplate"]["spec"]["template"]
        elif item["kind"] == "Pod":
            yield item, item


def containers(pod: Object) -> list[Object]:
    spec = pod["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


def is_pinned(image: str) -> bool:
    """Whether an image names a digest, or a tag that does not move."""
    if "@sha256:" in image:
        return True
    _, _, tag = image.rpartition("/")[2].partition(":")
    return tag not in ("", "latest", "main", "master", "edge")


@cache
def built_in_scopes() -> dict[tuple[str, str], bool]:
    """Whether a kind that the API server brings is namespaced, by ``(apiVersion, kind)``."""
    discovery = json.loads((resources.files("cozystack.apiserver.data") / "discovery.json").read_bytes())
    scopes = {}
    for group in [*discovery["api"]["items"], *discovery["apis"]["items"]]:
        for version in group["versions"]:
            name = group["metadata"].get("name", "")
            api_version = f"{name}/{version['version']}" if name else version["version"]
            for resource in version["resources"]:
                scopes[api_version, resource["responseKind"]["kind"]] = resource["scope"] == "Namespaced"
    return scopes


class Schemas:
    """What an API server with some CRDs would say about an object: what it is, and what is wrong with it."""

    def __init__(self, definitions: Iterable[Object]) -> None:
        data = resources.files("cozystack.apiserver.data") / "openapi-v3.json.gz"
        self._documents = json.loads(gzip.decompress(data.read_bytes()))
        self._known: dict[tuple[str, str], Schema | None] = {}
        self._scopes = dict(built_in_scopes())
        for item in definitions:
            spec = item["spec"]
            for version in spec["versions"]:
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                self._known[key] = from_crd(version["schema"]["openAPIV3Schema"])
                self._scopes[key] = spec["scope"] == "Namespaced"

    def namespaced(self, item: Object) -> bool | None:
        """``None`` for a kind that is not known."""
        return self._scopes.get((item["apiVersion"], item["kind"]))

    def faults(self, item: Object) -> list[str]:
        """Everything that is wrong with an object, unknown fields too."""
        key = (item["apiVersion"], item["kind"])
        if key not in self._known:
            self._known[key] = self._built_in(*key)
        schema = self._known[key]
        if schema is None:
            return [f"{key[0]} {key[1]} is not known"]
        errors = [str(error) for error in validate(schema, item)]
        return errors + [f"{path}: unknown field" for path in unknown_fields(schema, item)]

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


@cache
def bootstrap_crds() -> tuple[Object, ...]:
    """The CRDs that the operator brings up before any package: its own and those of Flux."""
    flux = [json.loads(path.read_bytes()) for path in sorted(FLUX_CRDS.glob("*.json"))]
    return (*own_crds(), *flux)


def served_kinds(definitions: Sequence[Object]) -> set[tuple[str, str]]:
    """``(apiVersion, kind)`` of everything that CRDs define."""
    return {
        (f"{item['spec']['group']}/{version['name']}", item["spec"]["names"]["kind"])
        for item in definitions
        for version in item["spec"]["versions"]
        if version.get("served")
    }
