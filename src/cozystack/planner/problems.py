"""Problems: facts about the user's objects that stand in the way of a plan, or should be known.

A problem is data. What it says in words, and what would fix it, is rendered by ``planner.sentences`` and stored nowhere. Its
class says how bad it is (``severity``) and whether the subject's own spec has to change before anything can move
(``own_spec``, the ``Stalled`` of kstatus). Problems chain: ``DependencyNotReady`` carries the problem at the end of the chain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import msgspec

Severity: TypeAlias = Literal["blocking", "warning"]


class Ref(msgspec.Struct, frozen=True, order=True, gc=False, omit_defaults=True):
    """An object by kind and name; the namespace is empty for cluster-scoped kinds."""

    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}" if self.namespace else f"{self.kind}/{self.name}"


def package_ref(name: str) -> Ref:
    return Ref("Package", name)


def source_ref(name: str) -> Ref:
    return Ref("PackageSource", name)


def release_ref(namespace: str, name: str) -> Ref:
    return Ref("HelmRelease", name, namespace)


class Problem(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True, tag_field="type", rename="camel", omit_defaults=True
):
    """Base of all; ``subject`` is the object at fault, the one to look at first."""

    severity: ClassVar[Severity] = "blocking"
    own_spec: ClassVar[bool] = False

    subject: Ref


# What is wanted cannot be found


class MissingSource(Problem, frozen=True):
    """A Package without the PackageSource of its name. Normal for a while: Packages are often created first.

    ``kept`` are releases that it has all the same: its PackageSource was there once, and nothing tells now what should be.
    """

    kept: tuple[str, ...] = ()


class MissingVariant(Problem, frozen=True):
    """A Package asks for a variant that its PackageSource does not have."""

    own_spec: ClassVar[bool] = True

    variant: str
    available: tuple[str, ...] = ()


class MissingDependency(Problem, frozen=True):
    """A Package depends on one that does not exist; ``provided_by`` names the PackageSources that would supply it."""

    missing: str
    provided_by: tuple[str, ...] = ()


class UnknownSibling(Problem, frozen=True):
    """A component waits for one that the variant does not install."""

    own_spec: ClassVar[bool] = True

    variant: str
    component: str
    names: str


class DisabledSibling(Problem, frozen=True):
    """A component waits for one that the Package disables; the dependency is dropped."""

    severity: ClassVar[Severity] = "warning"

    component: str
    names: str


class UnknownOverride(Problem, frozen=True):
    """A Package overrides a component that the variant does not have."""

    severity: ClassVar[Severity] = "warning"

    variant: str
    component: str


class UnknownLibrary(Problem, frozen=True):
    """A component uses a library that the variant does not declare; the chart is built without it."""

    severity: ClassVar[Severity] = "warning"

    variant: str
    component: str
    library: str


# What is wanted twice


class DuplicateLibrary(Problem, frozen=True):
    """Two libraries of one name; the last counts."""

    severity: ClassVar[Severity] = "warning"

    variant: str
    library: str


class DuplicateVariant(Problem, frozen=True):
    """Two variants of one name; the first counts."""

    severity: ClassVar[Severity] = "warning"

    variant: str


class ReleaseNameClash(Problem, frozen=True):
    """Several components name one release; ``claims`` are all of them, as package/component, the one that has it first."""

    package: str
    claims: tuple[str, ...]


class ArtifactNameCollision(Problem, frozen=True):
    """Several components make one artifact; ``claims`` are all, as source/variant/component, the one that makes it first."""

    artifact: str
    claims: tuple[str, ...]


# What is wanted cannot be


class InvalidName(Problem, frozen=True):
    """A name that Kubernetes, Helm or Flux would refuse. ``field`` is where it stands, ``rule`` what it breaks."""

    own_spec: ClassVar[bool] = True

    field: str
    value: str
    rule: Literal["empty", "object", "namespace", "release", "artifact", "alias", "library", "label"]


class InvalidPath(Problem, frozen=True):
    """A folder or file that names nothing that Flux could copy."""

    own_spec: ClassVar[bool] = True

    field: str
    value: str
    rule: Literal["empty", "trailing-slash", "current", "parent", "unprintable", "too-long"]


class InvalidValues(Problem, frozen=True):
    """Values of a component that are no map; ``found`` is what they are. Helm would never accept the release."""

    own_spec: ClassVar[bool] = True

    field: str
    found: Literal["list", "text", "number", "boolean"]


class TooManyArtifacts(Problem, frozen=True):
    """A PackageSource makes more artifacts than Flux allows; those of the components after ``first_left_out`` are not built."""

    own_spec: ClassVar[bool] = True

    count: int
    most: int
    first_left_out: str


class DependencyCycle(Problem, frozen=True):
    """Packages that wait for each other in a loop; each of ``members`` depends on the next, the last on the first."""

    members: tuple[str, ...]


class ComponentCycle(Problem, frozen=True):
    """Components of one variant that wait for each other in a loop."""

    own_spec: ClassVar[bool] = True

    variant: str
    members: tuple[str, ...]


# Somebody else's


class ReleaseOwnedByOther(Problem, frozen=True):
    """A release that a Package wants exists and is not its own; it is left alone. ``owner`` is empty when nobody owns it."""

    package: str
    owner: str = ""


class UnownedRelease(Problem, frozen=True):
    """A release carries a Package's label but is not owned by it; it is not wanted and not removed."""

    severity: ClassVar[Severity] = "warning"

    package: str


class MoveRefused(Problem, frozen=True):
    """A release would be removed to come back under another name, and holds data, or may hold some (``holds`` empty)."""

    own_spec: ClassVar[bool] = True

    package: str
    component: str
    target: Ref
    holds: tuple[str, ...] = ()


# Where it is to go


class NamespaceTerminating(Problem, frozen=True):
    """A namespace is being deleted; nothing can be created in it."""

    package: str


class NamespaceUnlabelled(Problem, frozen=True):
    """A release goes to a namespace that is never labelled as one of the platform's."""

    severity: ClassVar[Severity] = "warning"

    package: str


class MissingValuesSecret(Problem, frozen=True):
    """The values Secret that a release reads is absent from its namespace, and nobody is about to copy it."""

    release: Ref


class MissingValuesKey(Problem, frozen=True):
    """The values Secret that a release reads is there and lacks the key that it reads; Flux will not install it."""

    severity: ClassVar[Severity] = "warning"

    release: Ref
    key: str


# What does not run


class FailingRelease(Problem, frozen=True):
    """Helm failed; reason and message are those of Flux."""

    package: str
    reason: str = ""
    message: str = ""


class SuspendedRelease(Problem, frozen=True):
    """Somebody suspended a release; it stays as it is."""

    severity: ClassVar[Severity] = "warning"

    package: str


class PausedPackage(Problem, frozen=True):
    """Somebody paused a Package; nothing of it is changed."""


class DeletingPackage(Problem, frozen=True):
    """A Package is on its way out."""


class SourceNotReady(Problem, frozen=True):
    """Charts are not built yet, or cannot be; ``origin`` is the object of Flux that says so."""

    origin: Ref
    reason: str = ""
    message: str = ""


class StalledSource(Problem, frozen=True):
    """Charts will not be built before somebody changes something."""

    origin: Ref
    reason: str = ""
    message: str = ""


class DependencyNotReady(Problem, frozen=True):
    """A Package waits for another. ``chain`` leads from it to the one at fault; ``cause`` is absent while all goes well."""

    dependency: str
    chain: tuple[str, ...]
    cause: AnyProblem | None = None


AnyProblem: TypeAlias = (
    MissingSource
    | MissingVariant
    | MissingDependency
    | UnknownSibling
    | DisabledSibling
    | UnknownOverride
    | UnknownLibrary
    | DuplicateLibrary
    | DuplicateVariant
    | ReleaseNameClash
    | ArtifactNameCollision
    | InvalidName
    | InvalidPath
    | InvalidValues
    | TooManyArtifacts
    | DependencyCycle
    | ComponentCycle
    | ReleaseOwnedByOther
    | UnownedRelease
    | MoveRefused
    | NamespaceTerminating
    | NamespaceUnlabelled
    | MissingValuesSecret
    | MissingValuesKey
    | FailingRelease
    | SuspendedRelease
    | PausedPackage
    | DeletingPackage
    | SourceNotReady
    | StalledSource
    | DependencyNotReady
)


P = TypeVar("P", bound=Problem)


def kind_name(kind: type[Problem]) -> str:
    """A kind of problem as people type it: ``MissingVariant`` is ``missing-variant``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()


def root_cause(problem: Problem) -> Problem:
    """The problem at the end of the chain."""
    while isinstance(problem, DependencyNotReady) and problem.cause is not None:
        problem = problem.cause
    return problem


def blocking(problems: Iterable[P]) -> tuple[P, ...]:
    return tuple(problem for problem in problems if problem.severity == "blocking")


def to_json(problem: Problem) -> dict[str, Any]:
    """``problem`` as JSON values, with its type and severity."""
    value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(problem))
    return {"type": value.pop("type"), "severity": problem.severity, **value}
