"""What is wrong with PackageSources and Packages as they are written, before any cluster has seen them.

Most of it is what the planner says anyway; its problems become findings. What a plan cannot say, because it looks at Packages
and at the variants that they chose, is asked of the sources here: dependencies that no source provides, loops through variants,
releases that two sources name, sources that nothing leads to. Each rule has an id that never changes and is never used again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from cozystack.api.cozystack import PackageSource
from cozystack.api.meta import Key
from cozystack.planner import graph
from cozystack.planner.comparison import is_of_state
from cozystack.planner.problems import AnyProblem, DependencyCycle, Ref, kind_name, release_ref, source_ref
from cozystack.planner.selection import release_key
from cozystack.planner.sentences import describe, listed, unblock
from cozystack.planner.sources import plan_source

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue

Severity: TypeAlias = Literal["error", "warning", "info"]


class Rule(msgspec.Struct, frozen=True):
    """``about`` is one sentence for the reference."""

    id: str
    name: str
    severity: Severity
    about: str


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fault. ``subject`` and ``field`` say where it is; whoever read the files knows their line."""

    rule: Rule
    message: str
    fix: str = ""
    subject: Ref | None = None
    field: str = ""
    file: str = ""
    line: int = 0
    column: int = 0


def _rules(*rules: tuple[str, str, Severity, str]) -> dict[str, Rule]:
    return {name: Rule(id, name, severity, about) for id, name, severity, about in rules}  # noqa: A001


RULES = _rules(
    ("CZ101", "syntax", "error", "A file is not YAML, or not YAML that Kubernetes reads."),
    ("CZ102", "schema", "error", "An object does not fit the schema of its kind."),
    ("CZ103", "unknown-field", "error", "A field that the kind does not have; the API server would drop it."),
    ("CZ104", "duplicate-object", "error", "The same object is there twice."),
    ("CZ105", "unknown-kind", "error", "An object is neither a Package nor a PackageSource of cozystack.io/v1alpha1."),
    ("CZ201", "invalid-name", "error", "A name that Kubernetes, Helm or Flux would refuse."),
    ("CZ202", "invalid-path", "error", "A path that names nothing that Flux could copy."),
    ("CZ203", "duplicate-variant", "warning", "Two variants of one name; the first counts."),
    ("CZ204", "duplicate-library", "warning", "Two libraries of one name; the last counts."),
    ("CZ205", "unknown-library", "warning", "A component uses a library that its variant does not declare."),
    ("CZ206", "unknown-sibling", "error", "A component waits for one that its variant does not install."),
    ("CZ207", "component-cycle", "error", "Components of one variant wait for each other in a loop."),
    ("CZ208", "artifact-name-collision", "error", "Several components make an artifact of one name."),
    ("CZ209", "release-name-clash", "error", "Several components name one release."),
    ("CZ210", "missing-dependency", "error", "A package depends on one that is not there."),
    ("CZ211", "dependency-cycle", "error", "Packages wait for each other in a loop."),
    ("CZ212", "possible-cycle", "warning", "Packages wait for each other in a loop if certain variants are chosen."),
    ("CZ213", "too-many-artifacts", "error", "A PackageSource makes more artifacts than Flux allows."),
    ("CZ214", "shared-release", "warning", "Two packages name one release; they cannot be installed together."),
    ("CZ215", "no-variants", "warning", "A PackageSource offers nothing."),
    ("CZ301", "missing-source", "error", "A Package has no PackageSource of its name."),
    ("CZ302", "missing-variant", "error", "A Package asks for a variant that its PackageSource does not have."),
    ("CZ303", "disabled-sibling", "warning", "A component waits for one that the Package disables."),
    ("CZ304", "unknown-override", "warning", "A Package overrides a component that its variant does not have."),
    ("CZ305", "invalid-values", "error", "Values of a component that are no map."),
    ("CZ306", "namespace-unlabelled", "warning", "A release goes to a namespace that is never labelled as the platform's."),
    ("CZ307", "useless-ignore", "info", "A Package ignores a dependency that its variant does not have."),
    ("CZ401", "missing-chart", "error", "A component names a folder that holds no chart."),
    ("CZ402", "missing-file", "error", "A component names a values file or a library that is not there."),
    ("CZ403", "broken-chart", "error", "A chart is built from its artifact or rendered by Helm, and is not what Helm takes."),
    ("CZ404", "refused-values", "error", "The values of a release do not fit the schema of its chart."),
    ("CZ405", "helm-lint", "warning", "Helm itself finds something in a chart."),
    ("CZ501", "unreachable-package", "info", "No preset of the platform installs it, and no package depends on it."),
    ("CZ502", "unused-chart", "info", "A folder holds a chart that no component names."),
)
"""By name, in the order of their ids."""


def lint(view: Catalogue) -> list[Finding]:
    """Everything that can be said of the objects of a view, sources first, in the order of their names."""
    findings: list[Finding] = []
    for name in sorted(view.sources):
        findings += (finding_of(problem) for problem in plan_source(view, name).problems if not is_of_state(problem))
        findings += _source_findings(view, view.sources[name])
    findings += _source_cycles(view)
    findings += _shared_releases(view)
    for name in sorted(view.packages):
        findings += (finding_of(problem) for problem in _package_problems(view, name))
        findings += _useless(view, name)
    return list(dict.fromkeys(findings))


def finding_of(problem: AnyProblem) -> Finding:
    """A problem of the planner as a finding."""
    return Finding(
        rule=RULES[kind_name(type(problem))],
        message=describe(problem),
        fix=unblock(problem),
        subject=problem.subject,
        field=_field(problem),
    )


def unreachable(view: Catalogue, installed: Iterable[str]) -> Iterator[Finding]:
    """Sources that nothing leads to: not among ``installed``, and nobody's dependency."""
    needed = {dependency for source in view.sources.values() for dependency in _union(source)}
    for name in sorted(view.sources.keys() - needed - set(installed)):
        yield Finding(
            rule=RULES["unreachable-package"],
            message="no preset installs this package, and no package depends on it",
            fix="add it to a bundle, or leave it to those who ask for it by name",
            subject=source_ref(name),
        )


def _package_problems(view: Catalogue, name: str) -> Iterator[AnyProblem]:
    source = view.source(name)
    told = set(plan_source(view, name).problems) if source is not None else set()
    for problem in view.plan(name).problems:
        # A loop is told once, on its first member.
        elsewhere = isinstance(problem, DependencyCycle) and problem.members[0] != name
        if not is_of_state(problem) and problem not in told and not elsewhere:
            yield problem


def _source_findings(view: Catalogue, source: PackageSource) -> Iterator[Finding]:
    name = source.metadata.name
    if not source.spec.variants:
        yield Finding(
            rule=RULES["no-variants"],
            message="the PackageSource has no variants, so nothing of it can be installed",
            fix="add a variant",
            subject=source_ref(name),
        )
    for variant in source.spec.variants:
        for missing in dict.fromkeys(variant.depends_on):
            if missing not in view.sources and missing not in view.packages:
                yield Finding(
                    rule=RULES["missing-dependency"],
                    message=f"variant {variant.name} depends on {missing}, which no PackageSource provides",
                    fix=f"correct dependsOn of variant {variant.name}, or add PackageSource {missing}",
                    subject=source_ref(name),
                    field=f"spec.variants[{variant.name}].dependsOn",
                )


def _source_cycles(view: Catalogue) -> Iterator[Finding]:
    """Loops that every choice of variants closes, and those that some choice does."""
    always = {name: sorted(_intersection(source)) for name, source in view.sources.items()}
    sometimes = {name: sorted(_union(source)) for name, source in view.sources.items()}
    certain: set[frozenset[str]] = set()
    for name, edges in (("dependency-cycle", always), ("possible-cycle", sometimes)):
        known = {key: [target for target in targets if target in edges] for key, targets in edges.items()}
        for component in graph.cycles(known.__getitem__, sorted(known)):
            for members in dict.fromkeys(graph.loops(known.__getitem__, component).values()):
                if frozenset(members) in certain:
                    continue
                certain.add(frozenset(members))
                loop = " → ".join((*members, members[0]))
                if name == "dependency-cycle":
                    message, fix = f"packages depend on each other in a loop: {loop}", "remove one of these dependencies"
                else:
                    message = f"packages depend on each other in a loop if the wrong variants are chosen: {loop}"
                    fix = f"look at the variants {listed(_closing(view, members))}"
                yield Finding(rule=RULES[name], message=message, fix=fix, subject=source_ref(members[0]))


def _closing(view: Catalogue, members: tuple[str, ...]) -> list[str]:
    """The variants by which each member leads to the next, where not all of them do."""
    found = []
    for member, following in zip(members, (*members[1:], members[0]), strict=True):
        source = view.sources[member]
        if following not in _intersection(source):
            found += [f"{member}/{variant.name}" for variant in source.spec.variants if following in variant.depends_on]
    return found


def _shared_releases(view: Catalogue) -> Iterator[Finding]:
    claims: dict[Key, dict[str, list[str]]] = {}
    for name in sorted(view.sources):
        for variant in view.sources[name].spec.variants:
            for component in variant.components:
                if component.install is not None:
                    who = claims.setdefault(release_key(component, component.install), {})
                    who.setdefault(name, []).append(f"{name}/{variant.name}/{component.name}")
    for key in sorted(claims):
        if len(claims[key]) > 1:
            names = [claim for sources in claims[key].values() for claim in sources]
            yield Finding(
                rule=RULES["shared-release"],
                message=f"several packages want {release_ref(key.namespace, key.name)}: {listed(names)}",
                fix="give one of them another release name or namespace, unless they are never installed together",
                subject=source_ref(next(iter(claims[key]))),
            )


def _useless(view: Catalogue, name: str) -> Iterator[Finding]:
    package, source = view.packages[name], view.source(name)
    variant = next((each for each in source.spec.variants if each.name == package.variant), None) if source else None
    if variant is None:
        return
    for ignored in dict.fromkeys(package.spec.ignore_dependencies):
        if ignored not in variant.depends_on:
            yield Finding(
                rule=RULES["useless-ignore"],
                message=f"variant {variant.name} does not depend on {ignored}, which the Package ignores",
                fix=f"remove {ignored} from spec.ignoreDependencies",
                subject=Ref("Package", name),
                field="spec.ignoreDependencies",
            )


def _union(source: PackageSource) -> set[str]:
    return {name for variant in source.spec.variants for name in variant.depends_on}


def _intersection(source: PackageSource) -> set[str]:
    sets = [set(variant.depends_on) for variant in source.spec.variants]
    return set.intersection(*sets) if sets else set()


def _field(problem: AnyProblem) -> str:
    """Where in the subject a problem stands, as far as it says."""
    field = getattr(problem, "field", "")
    if isinstance(field, str) and field:
        return field
    variant, component = getattr(problem, "variant", ""), getattr(problem, "component", "")
    if problem.subject.kind == "Package":
        return f"spec.components.{component}" if component else "spec.variant" if variant else ""
    if variant:
        return f"spec.variants[{variant}]" + (f".components[{component}]" if component else "")
    return ""


__all__ = ["RULES", "Finding", "Rule", "finding_of", "lint", "unreachable"]
