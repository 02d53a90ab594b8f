"""Follow a new version of repositories to where it runs: fetched, built into charts, installed.

A Package that runs the old version is Ready, and stays so until its charts have been built from the new one. So its condition
alone says nothing: first Flux has to have looked (or the version was refused, which is an error at once), then every generator
has to have seen the new revision, and at last each release has to run what its artifact holds now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from cozystack.api.flux import ArtifactGenerator, GitRepository, OCIRepository
from cozystack.api.meta import Key, find_condition
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    EXTERNAL_ARTIFACTS,
    GIT_REPOSITORIES,
    HELM_RELEASES,
    OCI_REPOSITORIES,
    PACKAGES,
)
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.waiting import follow, lacking
from cozystack.cozypkg.world import World, read_cluster
from cozystack.kube import Client
from cozystack.planner.readiness import release_state
from cozystack.planner.releases import owner_name

Where = tuple[str, Key]
"""Kind and place of a repository."""

_PAUSE = 0.2
"""Seconds before what is out of step is looked at again."""
KINDS = (PACKAGES, HELM_RELEASES, EXTERNAL_ARTIFACTS, ARTIFACT_GENERATORS, OCI_REPOSITORIES, GIT_REPOSITORIES)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What is waited for. ``asked`` is the mark of the request; ``revisions`` are those of the repositories before it.

    ``observed`` is what each generator had seen of its sources then, by the place of the generator.
    """

    asked: str
    revisions: dict[Where, str]
    observed: dict[Key, str]
    packages: tuple[str, ...]


@dataclass(slots=True)
class Seen:
    """What is missing still, by the name of the Package or repository; ``stage`` in a clause, for the time being over."""

    stage: str = ""
    missing: dict[str, str] = field(default_factory=dict)


async def starting_from(client: Client, places: Collection[Where], asked: str, packages: tuple[str, ...]) -> Upgrade:
    """What there is before anything is asked for; raises ``KubeError``.

    Generators are read before the repositories, so that what they have seen is of no later version.
    """
    generators = (await read_cluster(client, (ARTIFACT_GENERATORS,))).generators
    repositories = (await read_cluster(client, (OCI_REPOSITORIES, GIT_REPOSITORIES))).repositories
    return Upgrade(
        asked=asked,
        revisions={place_of(each): revision_of(each) for each in repositories if place_of(each) in places},
        observed={each.key: each.status.observed_sources_digest for each in generators if set(places) & set(_sources_of(each))},
        packages=packages,
    )


async def follow_upgrade(
    client: Client, upgrade: Upgrade, *, timeout: float, told: Callable[[str], None] = lambda name: None
) -> Seen:
    """Wait until all Packages run the new version; what is missing when the time is over. Raises ``CommandError``."""
    seen = Seen()
    ends = client.clock.monotonic() + timeout

    def look(world: World) -> bool:
        seen.missing = _unfetched(world, upgrade)
        seen.stage = "Flux has not fetched the version"
        if not seen.missing:
            seen.missing = _unbuilt(world, upgrade)
            seen.stage = "its charts are not built"
        if not seen.missing:
            # A Package that the version takes away has nothing to run any more.
            packages = [name for name in upgrade.packages if name in world.packages]
            seen.missing = dict(_not_running(world, packages))
            seen.stage = f"{len(seen.missing)} of {len(packages)} are not ready"
        return not seen.missing

    # The watches of different kinds are not in step: a generator may be seen to be done before its charts are seen to be new.
    while await follow(client, KINDS, look, timeout=max(0.0, ends - client.clock.monotonic())):
        world = await _in_step(client)
        if look(world):
            for name in upgrade.packages:
                if name in world.packages:
                    told(name)
            return seen
        await client.clock.sleep(_PAUSE)
    return seen


async def _in_step(client: Client) -> World:
    """A world in which nothing is older than what it led to.

    What runs is read first, and what it runs of last; charts come after the generators that make them.
    """
    world = await read_cluster(client, (PACKAGES, HELM_RELEASES))
    generators = await read_cluster(client, (ARTIFACT_GENERATORS,))
    causes = await read_cluster(client, (EXTERNAL_ARTIFACTS, OCI_REPOSITORIES, GIT_REPOSITORIES))
    world.generators = generators.generators
    world.artifacts, world.repositories = causes.artifacts, causes.repositories
    return world


def place_of(repository: OCIRepository | GitRepository) -> Where:
    return ("OCIRepository" if isinstance(repository, OCIRepository) else "GitRepository", repository.key)


def revision_of(repository: OCIRepository | GitRepository) -> str:
    return repository.status.artifact.revision if repository.status.artifact is not None else ""


def _sources_of(generator: ArtifactGenerator) -> Iterable[Where]:
    return [(each.kind, Key(each.namespace or generator.metadata.namespace, each.name)) for each in generator.spec.sources]


def _unfetched(world: World, upgrade: Upgrade) -> dict[str, str]:
    there = {place_of(each): each for each in world.repositories}
    missing = {}
    for kind, key in upgrade.revisions:
        repository = there.get((kind, key))
        if repository is None:
            raise CommandError(f"{kind} {key} is gone")
        ready = find_condition(repository.status.conditions, "Ready")
        handled = repository.status.last_handled_reconcile_at == upgrade.asked
        current = repository.status.observed_generation == repository.metadata.generation
        if handled and current and ready is not None and ready.status == "False":
            raise CommandError(f"{kind} {key} cannot be fetched: {' '.join(ready.message.split()) or ready.reason}")
        if not (handled and current and ready is not None and ready.status == "True"):
            missing[f"{kind} {key}"] = "it is being fetched"
    return missing


def _unbuilt(world: World, upgrade: Upgrade) -> dict[str, str]:
    now = {place_of(each): revision_of(each) for each in world.repositories}
    changed = {where for where, revision in upgrade.revisions.items() if now.get(where) != revision}
    missing = {}
    for generator in world.generators:
        if generator.key not in upgrade.observed or not changed & set(_sources_of(generator)):
            continue
        ready = find_condition(generator.status.conditions, "Ready")
        if ready is not None and ready.status == "False" and generator.status.observed_sources_digest:
            raise CommandError(f"the charts of {generator.key.name} cannot be built: {' '.join(ready.message.split())}")
        if ready is None or ready.status != "True" or not _has_looked(generator, upgrade):
            missing[generator.key.name] = "its charts are being built"
    return missing


def _has_looked(generator: ArtifactGenerator, upgrade: Upgrade) -> bool:
    """Whether it has seen other revisions than before; the digest is Flux's own, only that it changes is known."""
    return generator.status.observed_sources_digest != upgrade.observed[generator.key]


def _not_running(world: World, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    artifacts = {each.key: each.status.artifact for each in world.artifacts}
    releases: dict[str, list[Key]] = {}
    for key, release in sorted(world.releases.items()):
        releases.setdefault(owner_name(release), []).append(key)
    for name in names:
        lacks = lacking(world, name, "ready")
        for key in () if lacks else releases.get(name, ()):
            release = world.releases[key]
            chart = release.spec.chart_ref
            artifact = artifacts.get(Key(chart.namespace or key.namespace, chart.name)) if chart is not None else None
            published = {Key(each.namespace, each.name): each for each in world.packages[name].status.releases}.get(key)
            if not release_state(release, artifact, published).ready:
                lacks = f"HelmRelease {key} does not run its new chart yet"
                break
        if lacks:
            yield name, lacks


__all__ = ["Seen", "Upgrade", "follow_upgrade", "place_of", "revision_of", "starting_from"]
