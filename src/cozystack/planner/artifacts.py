"""The ArtifactGenerator of a PackageSource: one artifact for each component of each variant (specification, operator 3.2-3.5).

A component that Flux would refuse is left out and reported, so that the others are built.
"""

from __future__ import annotations

from collections.abc import Callable

from cozystack.api import names
from cozystack.api.cozystack import API_VERSION, Component, PackageSource, SourceRef, Variant
from cozystack.api.flux import (
    GENERATOR_API,
    ArtifactGenerator,
    ArtifactGeneratorSpec,
    Copy,
    GeneratorSource,
    OutputArtifact,
)
from cozystack.api.meta import ObjectMeta, OwnerReference
from cozystack.planner.problems import (
    AnyProblem,
    DuplicateLibrary,
    DuplicateVariant,
    UnknownLibrary,
    source_ref,
)
from cozystack.planner.selection import (
    Installed,
    artifact_problems,
    base_path,
    chart_folder,
    duplicate_artifacts,
    install_problems,
    left_out_artifacts,
    library_name,
    library_problems,
    origin_problems,
    release_key,
    sibling_problems,
    too_many_artifacts,
    variant_problems,
)


def artifact_claims(source: PackageSource) -> dict[str, tuple[str, ...]]:
    """The names of all artifacts that ``source`` wants to make, with who makes each, as source/variant/component."""
    name = source.metadata.name
    claims: dict[str, tuple[str, ...]] = {}
    if source.spec.source_ref is not None:
        for variant in source.spec.variants:
            for component in variant.components:
                artifact = names.artifact_name(name, variant.name, component.name)
                claim = f"{name}/{variant.name}/{component.name}"
                earlier = claims.get(artifact, ())
                if claim not in earlier:
                    claims[artifact] = (*earlier, claim)
    return claims


def desired_generator(source: PackageSource, makes: Callable[[str], bool]) -> ArtifactGenerator | None:
    """The generator for ``source``, or ``None`` when there is nothing to generate.

    ``makes`` tells whether an artifact's name is this source's to use.
    """
    ref = source.spec.source_ref
    if ref is None or any(origin_problems(source)):
        return None
    artifacts: dict[str, OutputArtifact] = {}
    _, left_out = left_out_artifacts(source)
    for variant in source.spec.variants:
        libraries = library_paths(source, variant)
        for component in variant.components:
            name = names.artifact_name(source.metadata.name, variant.name, component.name)
            if name in artifacts or name in left_out or not makes(name):
                continue
            if not any(artifact_problems(source, variant, component)):
                copies = copy_operations(ref, component, libraries)
                artifacts[name] = OutputArtifact(name=name, copy=copies)
    if not artifacts:
        return None
    return ArtifactGenerator(
        api_version=GENERATOR_API,
        kind="ArtifactGenerator",
        metadata=ObjectMeta(
            name=source.metadata.name,
            namespace=names.SYSTEM_NAMESPACE,
            labels={names.PACKAGE_SOURCE_LABEL: source.metadata.name},
            owner_references=(
                OwnerReference(API_VERSION, "PackageSource", source.metadata.name, source.metadata.uid, controller=True),
            ),
        ),
        spec=ArtifactGeneratorSpec(
            sources=(GeneratorSource(alias=ref.name, kind=ref.kind, name=ref.name, namespace=ref.namespace),),
            artifacts=tuple(artifacts.values()),
        ),
    )


def library_paths(source: PackageSource, variant: Variant) -> dict[str, str]:
    """Paths of the variant's libraries by name; the last of a name counts, one that cannot be copied is dropped."""
    return {
        library_name(library): library.path
        for library in variant.libraries
        if not any(library_problems(source, variant, library))
    }


def copy_operations(ref: SourceRef, component: Component, libraries: dict[str, str]) -> tuple[Copy, ...]:
    """The chart, then its libraries, then its values files: the first replaces ``values.yaml``, the others merge into it."""
    base = base_path(ref)
    target = f"@artifact/{chart_folder(component.path)}"
    copies = [Copy(from_=_everything(ref, _join(base, component.path)), to=f"{target}/")]
    for library in component.libraries:
        if library in libraries:
            copies.append(Copy(from_=_everything(ref, _join(base, libraries[library])), to=f"{target}/charts/{library}/"))
    for position, file in enumerate(component.values_files):
        path = _join(base, f"{component.path}/{file}")
        copies.append(
            Copy(from_=f"@{ref.name}/{path}", to=f"{target}/values.yaml", strategy="Merge" if position else "Overwrite")
        )
    return tuple(copies)


def _join(base: str, path: str) -> str:
    return "/".join(part for part in (base.strip("/"), path.strip("/")) if part)


def _everything(ref: SourceRef, path: str) -> str:
    return f"@{ref.name}/{path}/**" if path else f"@{ref.name}/**"


def static_problems(source: PackageSource) -> list[AnyProblem]:
    """Everything wrong with the source that can be said without looking around, whether or not somebody selects it."""
    subject = source_ref(source.metadata.name)
    problems: list[AnyProblem] = [*origin_problems(source), *too_many_artifacts(source)]
    seen: set[str] = set()
    for variant in source.spec.variants:
        if variant.name in seen:
            problems.append(DuplicateVariant(subject=subject, variant=variant.name))
            continue
        seen.add(variant.name)
        problems += _variant_problems(source, variant)
    return list(dict.fromkeys(problems))


def _variant_problems(source: PackageSource, variant: Variant) -> list[AnyProblem]:
    subject = source_ref(source.metadata.name)
    problems: list[AnyProblem] = [*variant_problems(source, variant)]
    libraries: set[str] = set()
    for library in variant.libraries:
        faults = list(library_problems(source, variant, library))
        problems += faults
        name = library_name(library)
        if name in libraries:
            problems.append(DuplicateLibrary(subject=subject, variant=variant.name, library=name))
        if not faults:
            libraries.add(name)
    for component in variant.components:
        artifact = names.artifact_name(source.metadata.name, variant.name, component.name)
        if component.install is None:
            problems += artifact_problems(source, variant, component)
        else:
            key = release_key(component, component.install)
            problems += install_problems(source, variant, Installed(component, component.install, key, artifact))
        for name in component.libraries:
            if name not in libraries:
                problems.append(UnknownLibrary(subject=subject, variant=variant.name, component=component.name, library=name))
    problems += sibling_problems(source, variant)
    problems += duplicate_artifacts(source, variant, [component.name for component in variant.components])
    return problems
