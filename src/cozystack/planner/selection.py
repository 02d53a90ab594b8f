"""What a Package selects from its PackageSource: the variant, the components that are installed, the Packages it depends on.

A selection depends on these two objects alone. Everything about names, paths and references that can be judged without looking
around is judged here, before anything is written (D8).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET

from cozystack.api import names
from cozystack.api.cozystack import Component, Install, Library, Package, PackageSource, SourceRef, Variant
from cozystack.api.meta import Key
from cozystack.planner import graph
from cozystack.planner.problems import (
    AnyProblem,
    ArtifactNameCollision,
    ComponentCycle,
    DisabledSibling,
    InvalidName,
    InvalidPath,
    InvalidValues,
    MissingSource,
    MissingVariant,
    ReleaseNameClash,
    TooManyArtifacts,
    UnknownOverride,
    UnknownSibling,
    blocking,
    package_ref,
    release_ref,
    source_ref,
)

PATH_MAX = 768
"""Flux allows ``copy[].from`` and ``copy[].to`` 1024 characters, in which the alias and a library's folder must fit too."""
BASE_MAX = 512
FILE_MAX = 950
"""Base folder, chart's folder and values file together; beside them in ``copy[].from`` stands the alias."""
LIBRARY_MAX = 128
ARTIFACTS_MAX = 1000
"""What an ArtifactGenerator may make."""

_NONE: dict[str, str] = {}
_FOUND: dict[type, Literal["list", "text", "boolean"]] = {list: "list", str: "text", bool: "boolean"}

PathRule: TypeAlias = Literal["empty", "trailing-slash", "current", "parent", "unprintable", "too-long"]


class Installed(msgspec.Struct, frozen=True, gc=False):
    """A component that becomes a release."""

    component: Component
    install: Install
    key: Key
    artifact: str


class Selection(msgspec.Struct, frozen=True):
    """``installs`` are the releases that are wanted, ``disabled`` those that the Package turns off."""

    package: str
    source: PackageSource
    variant: Variant
    installs: tuple[Installed, ...]
    disabled: tuple[Installed, ...]
    depends_on: tuple[str, ...]
    problems: tuple[AnyProblem, ...]

    @property
    def valid(self) -> bool:
        return not blocking(self.problems)


def find_variant(source: PackageSource, name: str) -> Variant | None:
    """The first variant of that exact name."""
    return next((variant for variant in source.spec.variants if variant.name == name), None)


def release_key(component: Component, install: Install) -> Key:
    return Key(install.namespace, install.release_name or component.name)


def select(package: Package, source: PackageSource | None) -> Selection | MissingSource | MissingVariant:
    """What ``package`` selects, or why that cannot be said."""
    name = package.metadata.name
    if source is None:
        return MissingSource(subject=package_ref(name))
    variant = find_variant(source, package.variant)
    if variant is None:
        available = tuple(dict.fromkeys(variant.name for variant in source.spec.variants))
        return MissingVariant(subject=package_ref(name), variant=package.variant, available=available)
    ignored = set(package.spec.ignore_dependencies)
    installs: list[Installed] = []
    disabled: list[Installed] = []
    for component in variant.components:
        if component.install is not None:
            artifact = names.artifact_name(source.metadata.name, variant.name, component.name)
            installed = Installed(component, component.install, release_key(component, component.install), artifact)
            (disabled if package.override(component.name).enabled is False else installs).append(installed)
    problems = [
        *_package_problems(package, variant),
        *(origin_problems(source) if installs else ()),
        *(problem for installed in installs for problem in install_problems(source, variant, installed)),
        *_left_out_problems(source, installs),
        *_values_problems(package, installs),
        *_sibling_problems(source, variant, installs, disabled, package=name),
        *_duplicate_releases(installs, package=name),
        *duplicate_artifacts(source, variant, [installed.component.name for installed in installs]),
    ]
    return Selection(
        package=name,
        source=source,
        variant=variant,
        installs=tuple(installs),
        disabled=tuple(disabled),
        depends_on=tuple(dict.fromkeys(name for name in variant.depends_on if name not in ignored)),
        problems=tuple(problems),
    )


def siblings(selection: Selection, installed: Installed) -> list[Installed]:
    """The components that ``installed`` waits for, without those that are disabled or unknown."""
    wanted = set(installed.install.depends_on)
    return [other for other in selection.installs if other.component.name in wanted] if wanted else []


def component_field(variant: Variant, component: Component, field: str) -> str:
    return f"spec.variants[{variant.name}].components[{component.name}].{field}"


def chart_folder(path: str) -> str:
    """The last element of a component's path, which names the chart's folder; empty when the path ends with a slash."""
    return path.rpartition("/")[2]


def base_path(ref: SourceRef) -> str:
    """The base folder in the source; an explicit ``/`` is the root."""
    if ref.path:
        return ref.path.strip("/")
    return "packages" if ref.kind == "GitRepository" else ""


def artifact_problems(source: PackageSource, variant: Variant, component: Component) -> Iterator[AnyProblem]:
    """Why a component makes no artifact."""
    subject = source_ref(source.metadata.name)
    fault = path_fault(source, component.path, most=PATH_MAX)
    if fault is not None:
        yield InvalidPath(subject=subject, field=component_field(variant, component, "path"), value=component.path, rule=fault)
    for file in component.values_files:
        fault = path_fault(source, file, most=FILE_MAX - len(component.path))
        if fault is not None:
            field = component_field(variant, component, "valuesFiles")
            yield InvalidPath(subject=subject, field=field, value=file, rule=fault)
    artifact = names.artifact_name(source.metadata.name, variant.name, component.name)
    if not names.is_artifact_name(artifact):
        field = component_field(variant, component, "name")
        yield InvalidName(subject=subject, field=field, value=artifact, rule="artifact")


def library_problems(source: PackageSource, variant: Variant, library: Library) -> Iterator[AnyProblem]:
    """Why a library cannot be copied into charts."""
    subject = source_ref(source.metadata.name)
    fault = path_fault(source, library.path, most=PATH_MAX)
    if fault in ("trailing-slash", "current") and library.name:
        fault = None
    field = f"spec.variants[{variant.name}].libraries[{library.name}]"
    if fault is not None:
        yield InvalidPath(subject=subject, field=f"{field}.path", value=library.path, rule=fault)
        return
    name = library_name(library)
    if "/" in name or name in (".", "..") or not name.isprintable() or len(name) > LIBRARY_MAX:
        yield InvalidName(subject=subject, field=f"{field}.name", value=name, rule="library")


def library_name(library: Library) -> str:
    return library.name or chart_folder(library.path)


def variant_problems(source: PackageSource, variant: Variant) -> Iterator[AnyProblem]:
    """What is wrong with a variant whoever selects it, its libraries and components aside."""
    subject = source_ref(source.metadata.name)
    if not variant.name:
        yield InvalidName(subject=subject, field="spec.variants[].name", value="", rule="empty")
    for name in dict.fromkeys(variant.depends_on):
        if not names.is_dns_subdomain(name):
            field = f"spec.variants[{variant.name}].dependsOn"
            yield InvalidName(subject=subject, field=field, value=name, rule="object" if name else "empty")


def left_out_artifacts(source: PackageSource) -> tuple[int, dict[str, str]]:
    """How many artifacts there would be, and those beyond what Flux allows, each with who makes it."""
    components = 0
    for variant in source.spec.variants:
        components += len(variant.components)
    if components <= ARTIFACTS_MAX:
        return 0, _NONE
    makers: dict[str, str] = {}
    for variant in source.spec.variants:
        for component in variant.components:
            artifact = names.artifact_name(source.metadata.name, variant.name, component.name)
            if artifact not in makers and not any(artifact_problems(source, variant, component)):
                makers[artifact] = f"{source.metadata.name}/{variant.name}/{component.name}"
    return len(makers), dict(list(makers.items())[ARTIFACTS_MAX:])


def too_many_artifacts(source: PackageSource) -> Iterator[AnyProblem]:
    count, left_out = left_out_artifacts(source)
    if left_out:
        subject = source_ref(source.metadata.name)
        first = next(iter(left_out.values()))
        yield TooManyArtifacts(subject=subject, count=count, most=ARTIFACTS_MAX, first_left_out=first)


def duplicate_artifacts(source: PackageSource, variant: Variant, components: list[str]) -> Iterator[AnyProblem]:
    """Components of one variant whose artifacts are called the same."""
    claims: dict[str, list[str]] = {}
    for component in components:
        artifact = names.artifact_name(source.metadata.name, variant.name, component)
        claims.setdefault(artifact, []).append(f"{source.metadata.name}/{variant.name}/{component}")
    if len(claims) < len(components):
        for artifact, makers in claims.items():
            if len(makers) > 1:
                subject = source_ref(source.metadata.name)
                yield ArtifactNameCollision(subject=subject, artifact=artifact, claims=tuple(makers))


def origin_problems(source: PackageSource) -> Iterator[AnyProblem]:
    """Why no artifact at all can be made: the name of the source is also its alias (specification, operator 3.5)."""
    subject = source_ref(source.metadata.name)
    ref = source.spec.source_ref
    name = source.metadata.name
    if not names.is_label_value(name):
        yield InvalidName(subject=subject, field="metadata.name", value=name, rule="label")
    if ref is None:
        if any(variant.components for variant in source.spec.variants):
            yield InvalidName(subject=subject, field="spec.sourceRef", value="", rule="empty")
        return
    # Flux allows underscores in aliases and not in names, more characters in names than in aliases; this is both.
    if not names.is_dns_label(ref.name):
        yield InvalidName(subject=subject, field="spec.sourceRef.name", value=ref.name, rule="alias")
    if not names.is_dns_label(ref.namespace):
        yield InvalidName(subject=subject, field="spec.sourceRef.namespace", value=ref.namespace, rule="namespace")
    if ref.path:
        fault = _fault_of(ref.path.strip("/") or "root") or ("too-long" if len(ref.path) > BASE_MAX else None)
        if fault is not None and fault != "current":
            yield InvalidPath(subject=subject, field="spec.sourceRef.path", value=ref.path, rule=fault)


def install_problems(source: PackageSource, variant: Variant, installed: Installed) -> Iterator[AnyProblem]:
    """Why a component cannot become a release."""
    component, install = installed.component, installed.install
    subject = source_ref(source.metadata.name)
    if not names.is_dns_label(install.namespace):
        field = component_field(variant, component, "install.namespace")
        yield InvalidName(
            subject=subject, field=field, value=install.namespace, rule="namespace" if install.namespace else "empty"
        )
    if not names.is_release_name(installed.key.name):
        field = component_field(variant, component, "install.releaseName" if install.release_name else "name")
        yield InvalidName(subject=subject, field=field, value=installed.key.name, rule="release")
    yield from artifact_problems(source, variant, component)


def sibling_problems(source: PackageSource, variant: Variant) -> Iterator[AnyProblem]:
    """What is wrong with ``install.dependsOn`` when nothing is disabled."""
    installs = [
        Installed(component, component.install, release_key(component, component.install), "")
        for component in variant.components
        if component.install is not None
    ]
    yield from _sibling_problems(source, variant, installs, [])


def path_fault(source: PackageSource, path: str, *, most: int) -> PathRule | None:
    """Why a path in ``source`` names nothing; with the base folder it may have ``most`` characters."""
    fault = _known_fault_of(path) if len(path) <= _SHORT else _fault_of(path)
    if fault is None and len(path) > most - BASE_MAX:
        ref = source.spec.source_ref
        base = len(base_path(ref)) + 1 if ref is not None else 0
        return "too-long" if base + len(path) > most else None
    return fault


def _fault_of(path: str) -> PathRule | None:
    if not path:
        return "empty"
    last = path[-1]
    if last == "/":
        return "trailing-slash"
    if ".." in path and ".." in path.split("/"):
        return "parent"
    if last == "." and (path == "." or path.endswith("/.")):
        return "current"
    return None if path.isprintable() else "unprintable"


# Each path is judged several times for a plan, and the same again at every edit.
_known_fault_of = lru_cache(maxsize=4096)(_fault_of)
_SHORT = 128


def _package_problems(package: Package, variant: Variant) -> Iterator[AnyProblem]:
    name = package.metadata.name
    if not names.is_label_value(name):
        yield InvalidName(subject=package_ref(name), field="metadata.name", value=name, rule="label")
    if package.spec.components:
        known = {component.name for component in variant.components}
        for component in sorted(package.spec.components.keys() - known):
            yield UnknownOverride(subject=package_ref(name), variant=variant.name, component=component)


def _left_out_problems(source: PackageSource, installs: list[Installed]) -> Iterator[AnyProblem]:
    _, left_out = left_out_artifacts(source)
    if left_out and any(installed.artifact in left_out for installed in installs):
        yield from too_many_artifacts(source)


def values_problem(package: Package, component: str) -> InvalidValues | None:
    """Why the values of a component cannot be those of a release; null counts as none."""
    values = package.override(component).values
    if values is None or values is UNSET or isinstance(values, dict):
        return None
    field = f"spec.components[{component}].values"
    return InvalidValues(subject=package_ref(package.metadata.name), field=field, found=_FOUND.get(type(values), "number"))


def _values_problems(package: Package, installs: list[Installed]) -> Iterator[AnyProblem]:
    if package.spec.components:
        problems = (values_problem(package, installed.component.name) for installed in installs)
        yield from dict.fromkeys(problem for problem in problems if problem is not None)


def _sibling_problems(
    source: PackageSource, variant: Variant, installs: list[Installed], disabled: list[Installed], *, package: str = ""
) -> Iterator[AnyProblem]:
    enabled = {installed.component.name for installed in installs}
    off = {installed.component.name for installed in disabled}
    edges: dict[str, list[str]] = {}
    for installed in installs:
        component = installed.component.name
        for name in dict.fromkeys(installed.install.depends_on):
            if name in enabled:
                edges.setdefault(component, []).append(name)
            elif name in off:
                yield DisabledSibling(subject=package_ref(package), component=component, names=name)
            else:
                subject = source_ref(source.metadata.name)
                yield UnknownSibling(subject=subject, variant=variant.name, component=component, names=name)
    if edges:
        for loop in graph.cycles(lambda name: edges.get(name, ()), sorted(edges)):
            members = graph.loops(lambda name: edges.get(name, ()), loop)[min(loop)]
            yield ComponentCycle(subject=source_ref(source.metadata.name), variant=variant.name, members=members)


def _duplicate_releases(installs: list[Installed], *, package: str) -> Iterator[AnyProblem]:
    if len({installed.key for installed in installs}) == len(installs):
        return
    claims: dict[Key, list[str]] = {}
    for installed in installs:
        claims.setdefault(installed.key, []).append(f"{package}/{installed.component.name}")
    for key, claimants in claims.items():
        if len(claimants) > 1:
            subject = release_ref(key.namespace, key.name)
            yield ReleaseNameClash(subject=subject, package=package, claims=tuple(claimants))
