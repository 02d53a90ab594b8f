"""A package repository as the platform would see it: its catalogue, its bundles, its charts; without a cluster.

Nothing here imitates what the platform does: PackageSources become artifacts by the planner and the copy operations of Flux,
the platform's own chart and all others are rendered by Helm, values are composed as for a HelmRelease.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cozystack.api import names, yaml
from cozystack.api.cozystack import (
    API_VERSION,
    Component,
    Install,
    Package,
    PackageSource,
    PackageSourceSpec,
    PackageSpec,
    SourceRef,
    Variant,
)
from cozystack.api.flux import HelmRelease, OutputArtifact
from cozystack.api.meta import Key, ObjectMeta
from cozystack.cozypkg.documents import CHART, Place, broken, misfit
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.world import World
from cozystack.flux.charts import ChartFiles, ChartFolderError, chart_of
from cozystack.flux.copying import CopyError, build
from cozystack.flux.values import ValuesError as ComposeError
from cozystack.flux.values import compose
from cozystack.helm import HelmEngine, HelmError, RenderRequest, deep_merge, open_helm
from cozystack.oci import OciError, Reference, RegistryClient, pack, read_archive
from cozystack.planner import Catalogue, plan_source

Object = dict[str, Any]
T = TypeVar("T")

PLATFORM = "core/platform"
SOURCES = f"{PLATFORM}/sources"
PLATFORM_RELEASE = Key(names.SYSTEM_NAMESPACE, "cozystack-platform")
# What charts ask for before they render objects of them, and a platform has.
API_VERSIONS = (
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "operator.victoriametrics.com/v1beta1/VMServiceScrape",
)
_NO_DIGEST = f"sha256:{'0' * 64}"


class RenderError(CommandError):
    """A chart that cannot be built or does not render; the message names it."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a release brings: objects of its templates, and the CRDs of its chart's folder ``crds``."""

    objects: tuple[Object, ...]
    crds: tuple[Object, ...] = ()

    @property
    def everything(self) -> tuple[Object, ...]:
        return self.crds + self.objects


@dataclass(slots=True)
class Repository:
    """``files`` by their path, as the artifact of the repository holds them.

    ``folder``: where it is on this machine. ``digest``: that of the artifact which it was pulled from.
    """

    origin: str
    files: Mapping[str, bytes]
    folder: Path | None = None
    digest: str = ""
    _outputs: dict[str, tuple[PackageSource, dict[str, OutputArtifact]]] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """A path of the repository as people find it."""
        return str(self.folder / path) if self.folder is not None else f"{self.origin}/{path}"

    def presets(self) -> tuple[str, ...]:
        """The variants of the platform: ``default``, and one for each further values file of its chart."""
        prefix = f"{PLATFORM}/values-"
        found = (path.removeprefix(prefix).removesuffix(".yaml") for path in self.files if path.startswith(prefix))
        return (names.DEFAULT_VARIANT, *sorted(name for name in found if "/" not in name))

    def catalogue(self) -> World:
        """The PackageSources of the repository's files, each with its place; raises ``CommandError``."""
        world = World(self.origin, live=False)
        for path in self.manifests():
            for document in _documents(self.files[path], self.place(path)):
                value = document.value
                if not isinstance(value, dict) or value.get("kind") != "PackageSource":
                    continue
                place = Place(self.place(path), document.line)
                source = _convert(value, PackageSource, str(place))
                name = source.metadata.name
                first = world.places.setdefault(("PackageSource", name), place)
                if first != place:
                    raise CommandError(f"{place}: PackageSource {name} is in {first} too")
                world.sources[name] = source
        return world

    def charts(self) -> list[str]:
        """The folders of its charts."""
        return sorted(path.rpartition("/")[0] for path in self.files if path.endswith(f"/{CHART}"))

    def manifests(self) -> list[str]:
        """The files that hold its PackageSources: those of the platform's folder, or all YAML beside the charts."""
        found = sorted(path for path in self.files if path.endswith((".yaml", ".yml")))
        of_platform = [path for path in found if path.startswith(f"{SOURCES}/")]
        charts = tuple(f"{chart}/" for chart in self.charts())
        return of_platform or [path for path in found if not path.startswith(charts)]

    def outputs(self, source: PackageSource) -> dict[str, OutputArtifact]:
        """What is copied into each artifact of a PackageSource, by the name of the artifact."""
        view = Catalogue()
        view.set_source(source)
        generator = plan_source(view, source.metadata.name).generator
        return {output.name: output for output in generator.spec.artifacts} if generator is not None else {}

    def artifact(self, source: PackageSource, artifact: str) -> dict[str, bytes]:
        """The files of one artifact; raises ``RenderError``."""
        known, outputs = self._outputs.get(source.metadata.name, (None, {}))
        if known is not source:
            outputs = self.outputs(source)
            self._outputs[source.metadata.name] = source, outputs
        output = outputs.get(artifact)
        if output is None or source.spec.source_ref is None:
            raise RenderError(f"PackageSource {source.metadata.name} makes no artifact {artifact}")
        try:
            return build(output.copy, {source.spec.source_ref.name: self._below(source.spec.source_ref)})
        except CopyError as error:
            raise RenderError(f"PackageSource {source.metadata.name}, artifact {artifact}: {error}") from error

    def _below(self, reference: SourceRef) -> Mapping[str, bytes]:
        """The files as the source holds them: those of a Git repository lie below its base folder."""
        base = (reference.path or ("packages" if reference.kind == "GitRepository" else "")).strip("/")
        return {f"{base}/{path}": content for path, content in self.files.items()} if base else self.files

    def digests(self, sources: Iterable[PackageSource]) -> dict[str, str]:
        """A digest of the content of every artifact; of those that cannot be built there is none."""
        found = {}
        for source in sources:
            for artifact in self.outputs(source):
                try:
                    files = self.artifact(source, artifact)
                except RenderError:
                    continue
                digest = hashlib.sha256()
                for path, content in sorted(files.items()):
                    if not path.endswith("/.build-revision"):
                        digest.update(f"{path} {len(content)}\n".encode() + content)
                found[artifact] = digest.hexdigest()
        return found


def is_repository(folder: Path) -> bool:
    """Whether a folder holds packages: charts, or the PackageSources of a platform. A chart alone is none."""
    if (folder / SOURCES).is_dir():
        return True
    return not (folder / CHART).is_file() and any(CHART in names for _, _, names in os.walk(folder))


def open_folder(folder: Path) -> Repository:
    """The repository in a folder; raises ``CommandError``."""
    if not folder.is_dir():
        raise CommandError(f"{folder} does not exist" if not folder.exists() else f"{folder} is not a folder")
    if not is_repository(folder):
        raise CommandError(f"{folder} is not a package repository: there is no folder with a {CHART} in it")
    try:
        files = read_archive(pack(folder))
    except OciError as error:
        raise CommandError(str(error)) from error
    return Repository(str(folder), files, folder)


async def pull(text: str, *, insecure: bool = False, digest: str = "") -> Repository:
    """The repository that an OCI artifact holds; raises ``CommandError``."""
    try:
        reference = Reference.parse(text)
        if digest:
            reference = Reference.parse(f"oci://{reference.repository}@{digest}")
        async with RegistryClient(insecure=insecure) as client:
            pulled = await client.pull(reference)
        return Repository(text, read_archive(pulled.layer), digest=pulled.digest)
    except (OciError, ValueError) as error:
        raise CommandError(f"{text}: {error}") from error


def open_repository(text: str, *, insecure: bool = False) -> Repository:
    """A folder, or what ``oci://`` names; raises ``CommandError``."""
    if text.startswith("oci://"):
        return asyncio.run(pull(text, insecure=insecure))
    if "://" in text:
        raise CommandError(f"{text}: a package repository is a folder or oci://; clone a Git repository first")
    return open_folder(Path(text).expanduser())


class Renderer:
    """Renders charts of repositories with real Helm; use it in ``rendering``."""

    def __init__(self, helm: HelmEngine, folder: Path) -> None:
        self._helm = helm
        self._folder = folder
        self._written: dict[str, Path] = {}

    async def platform(
        self, repository: Repository, variant: str, values: Mapping[str, Any], source_spec: Mapping[str, Any]
    ) -> tuple[Object, ...]:
        """The objects of the platform's release: PackageSources, Packages, the values Secret; raises ``RenderError``.

        ``source_spec``: the spec of the platform's own OCIRepository or GitRepository, which its chart looks up.
        """
        if f"{PLATFORM}/Chart.yaml" not in repository.files:
            raise RenderError(f"{repository.origin} has no {PLATFORM}/Chart.yaml")
        if variant not in repository.presets():
            raise RenderError(
                f'the platform of {repository.origin} has no variant "{variant}"; it has {", ".join(repository.presets())}'
            )
        source = platform_source(variant)
        try:
            chart = chart_of(repository.artifact(source, platform_artifact(variant)), _NO_DIGEST)
        except ChartFolderError as error:
            raise RenderError(f"the platform of {repository.origin}: {error}") from error
        given: dict[str, Any] = deep_merge({"sourceRef": {"spec": dict(source_spec)}}, dict(values))
        return (await self.render(chart, PLATFORM_RELEASE, given, called=f"{repository.origin}/{PLATFORM}")).objects

    async def release(
        self,
        repository: Repository,
        source: PackageSource,
        release: HelmRelease,
        read: Callable[[str, Key], Awaitable[dict[str, str] | None]],
    ) -> Rendered:
        """What a release renders to; ``read`` gives the data of Secrets and ConfigMaps; raises ``RenderError``."""
        reference = release.spec.chart_ref
        if reference is None:
            raise RenderError(f"HelmRelease {release.key} names no chart")
        try:
            chart = chart_of(repository.artifact(source, reference.name), _NO_DIGEST)
            values = await compose(release, read)
        except (ChartFolderError, ComposeError) as error:
            raise RenderError(f"HelmRelease {release.key}: {error}") from error
        return await self.render(chart, release.key, values, called=f"HelmRelease {release.key}")

    async def render(self, chart: ChartFiles, key: Key, values: Mapping[str, Any], *, called: str) -> Rendered:
        with chart.folder(self._folder) as folder:
            request = RenderRequest(
                chart=str(folder), name=key.name, namespace=key.namespace, values=dict(values), api_versions=API_VERSIONS
            )
            try:
                found = await self._helm.render(request)
            except HelmError as error:
                raise RenderError(f"{called}: {error}") from error
        return Rendered(
            objects=tuple(
                item for path in sorted(found.manifests) for item in _objects(found.manifests[path], f"{called}, {path}")
            ),
            crds=tuple(item for text in found.crds for item in _objects(text, f"{called}, crds")),
        )


async def with_renderer(work: Callable[[Renderer], Awaitable[T]], *, workers: int = 1) -> T:
    """The result of ``work`` with a Helm; raises ``CommandError`` where there is none."""
    with tempfile.TemporaryDirectory(prefix="cozypkg-") as folder:
        try:
            helm = await open_helm(state=Path(folder), workers=workers)
        except HelmError as error:
            raise CommandError(str(error)) from error
        try:
            return await work(Renderer(helm, Path(folder)))
        finally:
            await helm.close()


def reader(values_secret: Mapping[str, str] | None) -> Callable[[str, Key], Awaitable[dict[str, str] | None]]:
    """Gives the data of the values Secret to every namespace, as the operator's copies do."""

    async def read(kind: str, key: Key) -> dict[str, str] | None:
        wanted = (kind, key.name) == ("Secret", names.VALUES_SECRET)
        return dict(values_secret) if wanted and values_secret is not None else None

    return read


def platform_source(variant: str) -> PackageSource:
    """As much of the platform's own PackageSource as its chart needs: the values file of the variant over the chart's own."""
    files = ("values.yaml",) if variant == names.DEFAULT_VARIANT else ("values.yaml", f"values-{variant}.yaml")
    install = Install(namespace=PLATFORM_RELEASE.namespace, release_name=PLATFORM_RELEASE.name)
    component = Component(name="platform", path=PLATFORM, values_files=files, install=install)
    return PackageSource(
        api_version=API_VERSION,
        kind="PackageSource",
        metadata=ObjectMeta(name=names.PLATFORM_PACKAGE),
        spec=PackageSourceSpec(
            source_ref=SourceRef(kind="OCIRepository", name="cozystack-platform", namespace=names.SYSTEM_NAMESPACE, path="/"),
            variants=(Variant(name=variant, components=(component,)),),
        ),
    )


def platform_package(variant: str) -> Package:
    """The Package of the platform itself."""
    return Package(
        api_version=API_VERSION,
        kind="Package",
        metadata=ObjectMeta(name=names.PLATFORM_PACKAGE),
        spec=PackageSpec(variant=variant),
    )


def platform_artifact(variant: str) -> str:
    return names.artifact_name(names.PLATFORM_PACKAGE, variant, "platform")


def world_of(objects: Iterable[Object], origin: str) -> tuple[World, dict[str, str] | None]:
    """The PackageSources and Packages among rendered objects, and the data of the values Secret; raises ``CommandError``."""
    world = World(origin, live=False)
    secret = None
    for item in objects:
        kind, name = item["kind"], item["metadata"]["name"]
        if kind == "PackageSource":
            world.sources[name] = _convert(item, PackageSource, f"{origin}, PackageSource {name}")
        elif kind == "Package":
            world.packages[name] = _convert(item, Package, f"{origin}, Package {name}")
        elif kind == "Secret" and name == names.VALUES_SECRET:
            secret = item.get("data")
    return world, secret


def _convert(value: Object, kind: type[Any], where: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise CommandError(f"{where}: {misfit(error)}") from error


def _objects(text: str, where: str) -> Iterator[Object]:
    for document in _documents(text, where):
        if isinstance(document.value, dict):
            yield document.value


def _documents(text: str | bytes, where: str) -> list[yaml.Document]:
    try:
        return yaml.load_all(text, source=where)
    except yaml.YamlError as error:
        raise broken(error) from error
