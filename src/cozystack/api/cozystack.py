"""``cozystack.io/v1alpha1``: PackageSource (what can be installed) and Package (what is wanted).

The one source of both CRDs: ``cozystack.api.crds`` reads the types, limits and descriptions off these classes
(specification, operator 1). Fields that we add to the original's API stand in the status and are named as ours.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from cozystack.api.meta import Condition, Model, Object, Value

API_VERSION = "cozystack.io/v1alpha1"


def _doc(text: str) -> Meta:
    return Meta(description=text)


class HealthCheckExpr(Value, frozen=True):
    """A health check of objects of one kind, as CEL expressions over the object."""

    api_version: Annotated[str, _doc("API version of the objects that are checked.")]
    kind: Annotated[str, _doc("Kind of the objects that are checked.")]
    current: Annotated[str, _doc("True when the object is ready.")]
    in_progress: Annotated[str, _doc("True while the object is still being worked on.")] = ""
    failed: Annotated[str, _doc("True when the object has failed.")] = ""


class Install(Value, frozen=True):
    """How a component becomes a Helm release; a component without it is an artifact only."""

    namespace: Annotated[str, _doc("Namespace of the release. Required in practice.")] = ""
    release_name: Annotated[str, _doc("Name of the release; the component's name when empty.")] = ""
    privileged: Annotated[bool, _doc("Whether its Pods need the privileged Pod Security level.")] = False
    depends_on: Annotated[tuple[str, ...], _doc("Components of the same variant that are installed first.")] = ()
    upgrade_crds: Annotated[
        Literal["", "Skip", "Create", "CreateReplace"],
        _doc("What an upgrade does with the CRDs of the chart."),
    ] = field(default="", name="upgradeCRDs")
    wait_strategy: Annotated[Literal["", "poller", "legacy"], _doc("How the release waits for its objects.")] = ""
    health_check_exprs: Annotated[
        tuple[HealthCheckExpr, ...], _doc("Health of custom resources, beyond the built-in rules.")
    ] = ()


class Component(Value, frozen=True):
    """One chart of a variant."""

    name: Annotated[str, _doc("Name of the component, unique within the variant.")]
    path: Annotated[str, _doc("Folder of the chart, relative to the base folder of the source.")]
    libraries: Annotated[tuple[str, ...], _doc("Library charts that are copied into the chart's charts folder.")] = ()
    values_files: Annotated[tuple[str, ...], _doc("Values files in the chart's folder; later ones override earlier ones.")] = ()
    install: Annotated[Install | None, _doc("How it is installed; absent: an artifact only.")] = None


class Library(Value, frozen=True):
    """A library chart that components of the variant may use."""

    path: Annotated[str, _doc("Folder of the library chart, relative to the base folder of the source.")]
    name: Annotated[str, _doc("Name of the library; the last element of the path when empty.")] = ""


class Variant(Value, frozen=True):
    """A named flavour of a package."""

    name: Annotated[str, _doc("Name of the variant.")]
    depends_on: Annotated[tuple[str, ...], _doc("Packages that must be ready first.")] = ()
    libraries: Annotated[tuple[Library, ...], _doc("Library charts of this variant.")] = ()
    components: Annotated[tuple[Component, ...], _doc("Charts of this variant.")] = ()


class SourceRef(Value, frozen=True):
    """The Flux source that holds the charts."""

    kind: Annotated[Literal["GitRepository", "OCIRepository"], _doc("Kind of the source.")]
    name: Annotated[str, _doc("Name of the source.")]
    namespace: Annotated[str, _doc("Namespace of the source.")]
    path: Annotated[
        str,
        _doc("Base folder in the source: packages for a GitRepository and the root for an OCIRepository when empty."),
    ] = ""


class PackageSourceSpec(Value, frozen=True):
    source_ref: Annotated[SourceRef | None, _doc("Where the charts come from.")] = None
    variants: Annotated[tuple[Variant, ...], _doc("What can be chosen; the first of a name wins.")] = ()


class PackageSourceStatus(Model):
    conditions: Annotated[tuple[Condition, ...], _doc("State of the source, see the condition types.")] = ()
    variants: Annotated[str, _doc("Names of the variants, separated by commas.")] = ""
    observed_generation: Annotated[int, _doc("Generation that the status speaks of.")] = -1


class PackageSource(Object):
    """What can be installed: where the charts are, in which variants, and what they depend on."""

    spec: PackageSourceSpec = PackageSourceSpec()
    status: PackageSourceStatus = msgspec.field(default_factory=PackageSourceStatus)


class ComponentOverride(Value, frozen=True):
    """What a Package changes about one component."""

    enabled: Annotated[bool | None, _doc("False leaves the component out; absent and true install it.")] = None
    values: Annotated[Any, _doc("Values of the Helm release, over those of the chart.")] | UnsetType = UNSET


class PackageSpec(Value, frozen=True):
    variant: Annotated[str, _doc("Variant of the PackageSource of the same name; 'default' when empty.")] = ""
    ignore_dependencies: Annotated[tuple[str, ...], _doc("Packages that are not waited for.")] = ()
    components: Annotated[dict[str, ComponentOverride], _doc("Overrides by the name of the component.")] = {}


class DependencyStatus(Value, frozen=True):
    ready: Annotated[bool, _doc("Whether the Package is ready.")]


class BlockedBy(Value, frozen=True):
    """Why the Package cannot go on: one problem, root cause first."""

    reason: Annotated[str, _doc("Type of the problem, in CamelCase.")]
    message: Annotated[str, _doc("The problem in one sentence.")]
    object: Annotated[str, _doc("The object at fault, as Kind/namespace/name.")] = ""
    chain: Annotated[tuple[str, ...], _doc("From this Package to the object at fault, Package by Package.")] = ()
    unblock: Annotated[str, _doc("What would unblock it.")] = ""


class ReleaseStatus(Value, frozen=True):
    """A Helm release of the Package."""

    name: Annotated[str, _doc("Name of the HelmRelease.")]
    namespace: Annotated[str, _doc("Namespace of the HelmRelease.")]
    ready: Annotated[str, _doc("True, False or Unknown.")]
    revision: Annotated[str, _doc("Revision of the chart that runs.")] = ""


class PackageStatus(Model):
    conditions: Annotated[tuple[Condition, ...], _doc("State of the Package, see the condition types.")] = ()
    dependencies: Annotated[dict[str, DependencyStatus], _doc("Packages that this one waits for.")] = {}
    observed_generation: Annotated[int, _doc("Generation that the status speaks of.")] = -1
    blocked_by: Annotated[tuple[BlockedBy, ...], _doc("What holds the Package back, root cause first.")] = ()
    releases: Annotated[tuple[ReleaseStatus, ...], _doc("Helm releases of the Package.")] = ()


class Package(Object):
    """What is wanted: one variant of the PackageSource of the same name, with overrides."""

    spec: PackageSpec = PackageSpec()
    status: PackageStatus = msgspec.field(default_factory=PackageStatus)

    @property
    def variant(self) -> str:
        """The name of the variant that is asked for."""
        return self.spec.variant or "default"

    def override(self, component: str) -> ComponentOverride:
        return self.spec.components.get(component, _NO_OVERRIDE)


_NO_OVERRIDE = ComponentOverride()
