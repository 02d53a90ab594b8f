"""What a command looks at: one snapshot of a cluster or of files, then memory (cozypkg-A11, cozypkg-R7).

Whoever needs more than Packages and PackageSources says so; every kind is one list, and all lists run at once. A kind that
the cluster does not serve (Flux is not there yet) is empty; anything else that fails ends the command (cozypkg-A10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from cozystack.api import names
from cozystack.api.core import Namespace
from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.flux import (
    Artifact,
    ArtifactGenerator,
    ExternalArtifact,
    GitRepository,
    HelmRelease,
    OCIRepository,
    SourceStatus,
)
from cozystack.api.meta import Key, ManagedFields, ObjectMeta
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    EXTERNAL_ARTIFACTS,
    GIT_REPOSITORIES,
    HELM_RELEASES,
    NAMESPACES,
    OCI_REPOSITORIES,
    PACKAGE_SOURCES,
    PACKAGES,
    SECRETS,
    Resource,
    untyped,
)
from cozystack.cozypkg.documents import Place, read_some
from cozystack.cozypkg.errors import CommandError
from cozystack.planner import Catalogue, Settings
from cozystack.planner.settings import settings_of

if TYPE_CHECKING:
    from cozystack.cozypkg.session import Session
    from cozystack.kube import Client, Listing

T = TypeVar("T")

OPERATOR = untyped("apps", "v1", "Deployment", "deployments")
CHOICE: tuple[Resource[Any], ...] = (PACKAGE_SOURCES, PACKAGES)
"""What is offered and what is wanted: enough for closures, graphs and names."""
STATE = (*CHOICE, HELM_RELEASES)
"""With the releases: enough to say what runs."""
EVERYTHING = (*STATE, ARTIFACT_GENERATORS, EXTERNAL_ARTIFACTS, OCI_REPOSITORIES, GIT_REPOSITORIES, NAMESPACES, SECRETS)
"""All that the planner looks at. Of Secrets, only the copies of ``cozystack-values``, and of those only where they are."""


OPTIONAL: dict[Resource[Any], str] = {
    SECRETS: "that the values of the platform reach every namespace is taken for granted",
    NAMESPACES: "that none is being deleted is taken for granted",
}
"""What whoever may read packages and releases need not be allowed to list, and what is believed instead."""


@dataclass(slots=True)
class World:
    """``origin`` says where it is from, for messages. ``places`` knows the file and line of (kind, name)."""

    origin: str
    live: bool
    sources: dict[str, PackageSource] = field(default_factory=dict)
    packages: dict[str, Package] = field(default_factory=dict)
    releases: dict[Key, HelmRelease] = field(default_factory=dict)
    generators: list[ArtifactGenerator] = field(default_factory=list)
    artifacts: list[ExternalArtifact] = field(default_factory=list)
    repositories: list[OCIRepository | GitRepository] = field(default_factory=list)
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    value_secrets: list[str] = field(default_factory=list)
    places: dict[tuple[str, str], Place] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    settings: Settings = field(default_factory=Settings)
    """What the operator was told: without it, every release would seem to differ."""
    unread: set[str] = field(default_factory=set)
    """Kinds among ``OPTIONAL`` that may not be listed by who asks."""

    def catalogue(self, settings: Settings | None = None, *, installed: bool = False) -> Catalogue:
        """The planner's view of it; a new one at each call, for whoever wants to change it.

        ``installed``: the releases that are asked for are taken as there. Packages are evaluated when a plan is asked for: most
        commands ask for none.
        """
        view = Catalogue(settings or self.settings)
        with view.batch(only=()):
            for objects in (
                self.sources.values(),
                self.packages.values(),
                self.releases.values(),
                self.generators,
                self.artifacts,
                self.repositories,
                self.namespaces.values(),
            ):
                for obj in objects:
                    view.put(obj)
            for namespace in self.value_secrets:
                view.set_values_secret(namespace)
            if SECRETS.kind in self.unread:
                for namespace in (names.SYSTEM_NAMESPACE, *view.target_namespaces):
                    view.set_values_secret(namespace)
            if installed:
                from cozystack.planner.comparison import assume_installed

                assume_installed(view)
        return view


async def read_cluster(client: Client, kinds: Iterable[Resource[Any]] = CHOICE, *, origin: str = "the cluster") -> World:
    """The objects of ``kinds`` as they are now; raises ``KubeError``."""
    world = World(origin, live=True)
    kinds = tuple(kinds)
    # Only who compares releases with what is wanted needs to know what the operator was told.
    await read_into(world, client, kinds, settings=ARTIFACT_GENERATORS in kinds)
    return world


async def read_into(world: World, client: Client, kinds: Iterable[Resource[Any]], *, settings: bool = False) -> None:
    """Add all objects of ``kinds`` to ``world``, and if asked for what the operator was told; raises ``KubeError``."""
    from cozystack.kube.errors import Forbidden, NotFound

    async def read(resource: Resource[Any]) -> None:
        selector = f"metadata.name={names.VALUES_SECRET}" if resource is SECRETS else ""
        try:
            listing = await client.list(narrow(resource), field_selector=selector)
        except NotFound as error:
            if resource in CHOICE:
                raise not_served(resource, world.origin) from error
            return
        except Forbidden:
            if resource not in OPTIONAL:
                raise
            passed_over(world, resource.kind)
            return
        for item in listing.items:
            add(world, item)
        world.warnings += malformed(resource, listing)

    async def ask_operator() -> None:
        with suppress(Forbidden):
            deployment = await client.find(OPERATOR, Key(names.SYSTEM_NAMESPACE, "cozystack-operator"))
            world.settings = settings_of(deployment)

    asked = (ask_operator(),) if settings else ()
    results = await asyncio.gather(*asked, *(read(resource) for resource in kinds), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def malformed(resource: Resource[Any], listing: Listing[Any]) -> Iterator[str]:
    """What is said of objects that cannot be read."""
    return (f"{resource.kind} {wrong.key} cannot be read: {wrong.message}" for wrong in listing.malformed)


def passed_over(world: World, kind: str) -> None:
    """Note that nobody could look at a kind of ``OPTIONAL``."""
    world.unread.add(kind)
    believed = next(text for resource, text in OPTIONAL.items() if resource.kind == kind)
    world.warnings.append(f"{kind}s may not be listed; {believed}")


@cache
def narrow(resource: Resource[T]) -> Resource[T]:
    """The resource with objects that are read without what no command looks at: half of the time, and a third of the memory."""
    from cozystack.kube.narrow import unmanaged, without

    kind: Any = resource.type
    if resource is PACKAGES:
        # Who has written a Package is asked before it is written again, what of it is not.
        entry: Any = without(ManagedFields, "api_version", "time", "fields_v1")
        return replace(resource, type=without(kind, metadata=without(ObjectMeta, managed_fields=tuple[entry, ...])))
    if resource is EXTERNAL_ARTIFACTS:
        # There are more of these than of all others: what a chart is called, who makes it and what it is.
        rest = [name for name in ObjectMeta.__struct_fields__ if name not in ("name", "namespace")]
        status: Any = without(SourceStatus, "conditions", artifact=without(Artifact, "path", "size", "last_update_time") | None)
        return replace(resource, type=without(kind, metadata=without(ObjectMeta, *rest), status=status))
    return unmanaged(resource)


def not_served(resource: Resource[Any], origin: str = "the cluster") -> CommandError:
    """Nothing can be said of a cluster without our CRDs."""
    return CommandError(
        f"{origin} knows no {resource.kind}s: the operator has not installed its CRDs (is this the right context?)"
    )


def unknown(world: World, name: str) -> CommandError:
    """Nothing is called ``name``."""
    from cozystack.planner.sentences import did_you_mean

    hint = did_you_mean(name, world.sources.keys() | world.packages.keys())
    return CommandError(f"{world.origin} has neither a Package nor a PackageSource {name}{hint}")


def read_files(paths: Iterable[str], stdin: Callable[[], str]) -> World:
    """The objects of files and folders; raises ``CommandError``, also for an object that is there twice."""
    paths = list(paths)
    world = World(", ".join("standard input" if path == "-" else path for path in paths), live=False)
    for found in read_some(paths, stdin):
        kind, name = type(found.object).__name__, found.object.metadata.name
        first = world.places.setdefault((kind, name), found.place)
        if first != found.place:
            raise CommandError(f"{found.place}: {kind} {name} is in {first} too")
        add(world, found.object)
    return world


def look(session: Session, files: Iterable[str], kinds: Iterable[Resource[Any]] = CHOICE) -> World:
    """The world of a command that only reads: ``files`` if there are any, else the cluster."""
    files = list(files)
    if files:
        return read_files(files, session.standard_input)
    world = session.on_cluster(lambda client: read_cluster(client, kinds))
    for warning in world.warnings:
        session.tell(f"warning: {warning}")
    return world


def add(world: World, obj: Any) -> None:
    match obj:
        case PackageSource():
            world.sources[obj.metadata.name] = obj
        case Package():
            world.packages[obj.metadata.name] = obj
        case HelmRelease():
            world.releases[obj.key] = obj
        case ArtifactGenerator():
            world.generators.append(obj)
        case ExternalArtifact():
            world.artifacts.append(obj)
        case OCIRepository() | GitRepository():
            world.repositories.append(obj)
        case Namespace():
            world.namespaces[obj.metadata.name] = obj
        case _:
            world.value_secrets.append(obj.metadata.namespace)
