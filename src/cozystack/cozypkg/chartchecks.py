"""A package repository, looked at for faults: its sources, the files that they name, its charts as Helm sees them.

Charts are built as Flux builds them and rendered by real Helm, in parallel, with the values that each preset of the platform
gives them; a chart that no preset installs is rendered with its own. What was found in a chart is kept by the digest of
everything that it came from, so that an unchanged repository is judged in no time.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cozystack import __version__
from cozystack.api import names
from cozystack.api.cozystack import Component, PackageSource, Variant
from cozystack.api.meta import Key
from cozystack.cozypkg.checking import ordered, read
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.planning import secret_values
from cozystack.cozypkg.repository import (
    PLATFORM,
    Renderer,
    RenderError,
    Repository,
    open_folder,
    reader,
    with_renderer,
    world_of,
)
from cozystack.cozypkg.world import World
from cozystack.flux.charts import ChartFiles, ChartFolderError, chart_of
from cozystack.flux.values import ValuesError, compose
from cozystack.planner.comparison import is_of_state
from cozystack.planner.linting import RULES, Finding, finding_of, lint, unreachable
from cozystack.planner.problems import source_ref
from cozystack.planner.selection import Selection

_SOURCE_SPEC = {"url": "oci://example.org/packages", "interval": "5m0s"}


@dataclass(frozen=True, slots=True)
class Use:
    """One component of one variant."""

    source: PackageSource
    variant: Variant
    component: Component

    @property
    def key(self) -> tuple[str, str, str]:
        return self.source.metadata.name, self.variant.name, self.component.name

    @property
    def field(self) -> str:
        return f"spec.variants[{self.variant.name}].components[{self.component.name}]"


async def check_repository(
    origin: str, *, cache: Path | None, tell: Callable[[str], None], workers: int, values: Mapping[str, Any] | None = None
) -> list[Finding]:
    """The findings of a package repository; ``cache`` is a folder for what was found in charts; raises ``CommandError``."""
    repository = open_folder(Path(origin))
    found = read(((repository.place(path), repository.files[path]) for path in repository.manifests()), templates=True)
    if not found.world.sources and not found.findings:
        raise CommandError(f"{origin} holds charts, and no PackageSource that names one")
    findings = list(found.findings)
    findings += lint(found.world.catalogue())
    findings += _chart_files(repository, found.world.sources)
    findings += _unused(repository, found.world.sources)
    findings += await _rendered(repository, found.world, cache, tell, workers, values or {})
    return ordered(found.place(finding) for finding in findings)


def _uses(sources: Mapping[str, PackageSource]) -> Iterator[Use]:
    for name in sorted(sources):
        for variant in sources[name].spec.variants:
            for component in variant.components:
                yield Use(sources[name], variant, component)


def _chart_files(repository: Repository, sources: Mapping[str, PackageSource]) -> Iterator[Finding]:
    """Folders and files that components name and that are not there."""
    for use in _uses(sources):
        subject = source_ref(use.source.metadata.name)
        path = use.component.path.strip("/")
        if f"{path}/Chart.yaml" not in repository.files:
            there = any(file.startswith(f"{path}/") for file in repository.files)
            message = f"{path} holds no Chart.yaml" if there else f"{path} is not in the repository"
            yield Finding(
                rule=RULES["missing-chart"],
                message=message,
                fix=f"correct the path of component {use.component.name}",
                subject=subject,
                field=f"{use.field}.path",
            )
            continue
        for file in use.component.values_files:
            if f"{path}/{file}" not in repository.files:
                yield Finding(
                    rule=RULES["missing-file"],
                    message=f"the values file {path}/{file} is not in the repository",
                    fix=f"correct valuesFiles of component {use.component.name}",
                    subject=subject,
                    field=f"{use.field}.valuesFiles",
                )
    for name in sorted(sources):
        for variant in sources[name].spec.variants:
            for library in variant.libraries:
                path = library.path.strip("/")
                if path and f"{path}/Chart.yaml" not in repository.files:
                    yield Finding(
                        rule=RULES["missing-file"],
                        message=f"the library {path} is no chart of the repository",
                        fix=f"correct the path of library {library.name or path}",
                        subject=source_ref(name),
                        field=f"spec.variants[{variant.name}].libraries",
                    )


def _unused(repository: Repository, sources: Mapping[str, PackageSource]) -> Iterator[Finding]:
    named = {use.component.path.strip("/") for use in _uses(sources)}
    named |= {
        library.path.strip("/") for source in sources.values() for each in source.spec.variants for library in each.libraries
    }
    for path in sorted(repository.files):
        folder, _, file = path.rpartition("/")
        if file == "Chart.yaml" and folder.count("/") == 1 and not folder.startswith("core/") and folder not in named:
            yield Finding(
                rule=RULES["unused-chart"],
                message=f"no component names the chart in {folder}",
                fix="name it in a PackageSource, or remove it",
                file=repository.place(path),
                line=1,
            )


@dataclass(frozen=True, slots=True)
class _Job:
    """One chart with one set of values; ``digest`` stands for all that goes in."""

    use: Use
    release: Key
    values: dict[str, Any]
    chart: ChartFiles
    digest: str


async def _rendered(
    repository: Repository,
    world: World,
    cache: Path | None,
    tell: Callable[[str], None],
    workers: int,
    values: Mapping[str, Any],
) -> list[Finding]:
    """What Helm says of the platform in every preset, and of every chart with the values that these presets give."""
    kept = _Kept(cache)
    content = (f"{path}\0".encode() + content for path, content in sorted(repository.files.items()))
    whole = kept.key(
        "repository", __version__, repository.origin, msgspec.json.encode(dict(values), order="deterministic"), *content
    )
    known = kept.get(whole)
    if known is not None:
        return known

    async def work(renderer: Renderer) -> list[Finding]:
        survey = _Survey(repository, world, renderer)
        jobs = await survey.jobs(values)
        unknown = [job for job in jobs if kept.get(job.digest) is None]
        if unknown:
            tell(f"rendering {len(unknown)} of {len(jobs)} releases")
        gate = asyncio.Semaphore(workers * 2)

        async def one(job: _Job) -> None:
            async with gate:
                kept.put(job.digest, [finding async for finding in _judge(job, renderer)])

        await asyncio.gather(*(one(job) for job in unknown))
        return survey.findings + [finding for job in jobs for finding in kept.get(job.digest) or []]

    found = await with_renderer(work, workers=workers)
    kept.put(whole, found)
    return found


class _Survey:
    """Everything of a repository that is to be rendered, each chart with each set of values once."""

    def __init__(self, repository: Repository, world: World, renderer: Renderer) -> None:
        self.findings: list[Finding] = []
        self._repository = repository
        self._renderer = renderer
        self._jobs: dict[str, _Job] = {}
        self._installed: set[str] = set()
        self._secret: Mapping[str, str] | None = None
        self._uses = {use.key: use for use in _uses(world.sources)}
        self._covered: set[tuple[str, str, str]] = set()
        self._world = world

    async def jobs(self, values: Mapping[str, Any]) -> list[_Job]:
        if f"{PLATFORM}/Chart.yaml" in self._repository.files:
            for preset in self._repository.presets():
                await self._preset(preset, values)
            self.findings += unreachable(self._world.catalogue(), self._installed)
        for key, use in self._uses.items():
            if key not in self._covered:
                install = use.component.install
                # A component that is not installed is an artifact for others: rendered as if a tenant used it.
                where = install.namespace if install is not None else "tenant-root"
                called = (install.release_name if install is not None else "") or use.component.name
                self._add(use, Key(where, called), secret_values(self._secret))
        return list(self._jobs.values())

    async def _preset(self, preset: str, values: Mapping[str, Any]) -> None:
        try:
            objects = await self._renderer.platform(self._repository, preset, values, _SOURCE_SPEC)
        except RenderError as error:
            self.findings.append(
                Finding(
                    rule=RULES["broken-chart"],
                    message=f"the platform does not render as {preset}: {error}",
                    fix="correct the chart",
                    file=self._repository.place(f"{PLATFORM}/Chart.yaml"),
                    line=1,
                )
            )
            return
        rendered, data = world_of(objects, self._repository.origin)
        self._secret = data if data is not None else self._secret
        self._installed |= rendered.packages.keys()
        view = rendered.catalogue()
        uses = {use.key: use for use in _uses(rendered.sources)}
        for name, package in rendered.packages.items():
            selection = view.selection(name)
            if not isinstance(selection, Selection):
                self.findings += (finding_of(problem) for problem in view.plan(name).problems if not is_of_state(problem))
                continue
            for installed, release in zip(selection.installs, view.desired(name), strict=True):
                use = uses[name, package.variant, installed.component.name]
                self._covered.add(use.key)
                try:
                    self._add(use, release.key, await compose(release, reader(data)))
                except ValuesError as error:
                    self.findings.append(_broken(use, str(error)))

    def _add(self, use: Use, release: Key, values: dict[str, Any]) -> None:
        artifact = names.artifact_name(use.source.metadata.name, use.variant.name, use.component.name)
        try:
            chart = chart_of(self._repository.artifact(use.source, artifact), f"sha256:{'0' * 64}")
        except (RenderError, ChartFolderError) as error:
            if f"{use.component.path.strip('/')}/Chart.yaml" in self._repository.files:
                self.findings.append(_broken(use, str(error)))
            return
        parts = (f"{path}\0".encode() + content for path, content in sorted(chart.files.items()))
        digest = _Kept.key("chart", __version__, msgspec.json.encode([values, str(release)], order="deterministic"), *parts)
        self._jobs.setdefault(digest, _Job(use, release, values, chart, digest))


async def _judge(job: _Job, renderer: Renderer) -> AsyncIterator[Finding]:
    try:
        await renderer.render(job.chart, job.release, job.values, called=f"chart {job.use.component.path}")
    except RenderError as error:
        text = str(error)
        if "values don't meet the specifications of the schema" in text:
            yield Finding(
                rule=RULES["refused-values"],
                message=text,
                fix=f"correct the values of component {job.use.component.name}, or values.schema.json of its chart",
                subject=source_ref(job.use.source.metadata.name),
                field=job.use.field,
            )
        else:
            yield _broken(job.use, text)


def _broken(use: Use, message: str) -> Finding:
    return Finding(
        rule=RULES["broken-chart"],
        message=" ".join(message.split()),
        fix=f"correct the chart {use.component.path}",
        subject=source_ref(use.source.metadata.name),
        field=use.field,
    )


class _Kept:
    """Findings by the digest of what they were found in; a folder that cannot be written keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._found: dict[str, list[Finding]] = {}

    @staticmethod
    def key(*parts: str | bytes) -> str:
        digest = hashlib.sha256()
        for part in parts:
            content = part.encode() if isinstance(part, str) else part
            digest.update(len(content).to_bytes(8, "big") + content)
        return digest.hexdigest()

    def get(self, key: str) -> list[Finding] | None:
        if key not in self._found and self._folder is not None:
            try:
                self._found[key] = msgspec.json.decode((self._folder / key).read_bytes(), type=list[Finding])
            except (OSError, msgspec.DecodeError):
                return None
        return self._found.get(key)

    def put(self, key: str, findings: list[Finding]) -> None:
        self._found[key] = findings
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(msgspec.json.encode(findings))
            Path(file.name).replace(self._folder / key)
        except OSError:
            self._folder = None


def cache_folder(env: Mapping[str, str]) -> Path:
    base = env.get("XDG_CACHE_HOME") or os.path.join(env.get("HOME", "/nonexistent"), ".cache")  # noqa: PTH118
    return Path(base) / "cozypkg" / "lint"
