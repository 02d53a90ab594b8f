"""What explains a few Packages of many: all sources and Packages, and of everything else only what is looked at.

A Package that is settled is so by what is its own: source, releases, namespaces. So reading goes from those that are asked
about to those that they depend on, and stops at each that is settled. Of releases, artifacts and generators, which are nine
tenths of a large platform, a handful is read by name.

Everything is listed all the same where the platform is small, where that way leads far, where somebody on it is being deleted
(the releases that are left are found by their owner), and where what is read here may not be read. The answers are the same;
but objects that cannot be read are told only of what was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from cozystack.api import names
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    EXTERNAL_ARTIFACTS,
    GIT_REPOSITORIES,
    HELM_RELEASES,
    NAMESPACES,
    OCI_REPOSITORIES,
    SECRETS,
    Resource,
)
from cozystack.cozypkg.world import CHOICE, EVERYTHING, World, malformed, narrow, read_into
from cozystack.planner import Catalogue
from cozystack.planner.selection import Selection

if TYPE_CHECKING:
    from cozystack.kube import Client

FEW = 200
"""Packages of a platform whose lists are quicker than questions one after the other."""
MOST = 50
"""Packages that are read by name; for more of them lists are quicker."""
_AT_ONCE = 8
_INDEX = (*CHOICE, OCI_REPOSITORIES, GIT_REPOSITORIES)

_Place: TypeAlias = tuple[Resource[Any], str, str]
"""Resource, namespace and name of one object."""


async def read_around(client: Client, asked: Collection[str], *, few: int = FEW) -> tuple[World, Catalogue]:
    """What ``explain`` looks at for the Packages ``asked``, of those that there are; raises ``KubeError``."""
    from cozystack.kube.errors import Forbidden

    world = World("the cluster", live=True)
    await read_into(world, client, _INDEX, settings=True)
    if len(world.packages) > few:
        focus = _Focus(client, world)
        try:
            if await focus.reaches([name for name in asked if name in world.packages]):
                world.warnings += focus.warnings
                return world, focus.view
        except Forbidden:
            # Whoever lists may do without some kinds; that is decided there.
            pass
    await read_into(world, client, [resource for resource in EVERYTHING if resource not in _INDEX])
    return world, world.catalogue()


class _Focus:
    def __init__(self, client: Client, world: World) -> None:
        self.view = world.catalogue()
        self.warnings: list[str] = []
        self._client = client
        self._read: set[_Place] = set()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def reaches(self, asked: list[str]) -> bool:
        """Read what the plans of ``asked`` depend on; false when that is too much, or not to be found by name."""
        view = self.view
        known: set[str] = set()
        news = set(asked)
        while news:
            known |= news
            if len(known) > MOST or any(view.packages[name].metadata.deletion_timestamp is not None for name in news):
                return False
            found = await self._objects(sorted(news))
            with view.batch(only=known):
                for resource, obj in found:
                    if resource is SECRETS:
                        view.set_values_secret(obj.metadata.namespace)
                    else:
                        view.put(obj)
            open_ends = [name for name in known if name in asked or not view.state(name).settled]
            news = {each for name in open_ends for each in view.dependencies(name) if each in view.packages} - known
        return True

    async def _objects(self, packages: list[str]) -> list[tuple[Resource[Any], Any]]:
        """All that the plans of ``packages`` look at beside the index, and that was not read before."""
        places: dict[_Place, None] = {(SECRETS, self.view.settings.values_namespace, names.VALUES_SECRET): None}
        releases: dict[_Place, None] = {}
        for name in packages:
            places[ARTIFACT_GENERATORS, names.SYSTEM_NAMESPACE, name] = None
            selection = self.view.selection(name)
            for installed in selection.installs if isinstance(selection, Selection) else ():
                namespace = installed.key.namespace
                places[EXTERNAL_ARTIFACTS, names.SYSTEM_NAMESPACE, installed.artifact] = None
                places[NAMESPACES, "", namespace] = None
                places[SECRETS, namespace, names.VALUES_SECRET] = None
                releases[HELM_RELEASES, namespace, installed.key.name] = None
        labelled, *found = await asyncio.gather(self._labelled(packages), *self._named(places))
        # What is wanted may be there and be somebody else's.
        for _, release in labelled:
            releases.pop((HELM_RELEASES, release.metadata.namespace, release.metadata.name), None)
        found += await asyncio.gather(*self._named(releases))
        return [*labelled, *(each for some in found for each in some)]

    async def _labelled(self, packages: Iterable[str]) -> list[tuple[Resource[Any], Any]]:
        """The releases that carry the label of one of ``packages``; nobody carries what is no label."""
        values = [name for name in packages if names.is_label_value(name)]
        return await self._list(HELM_RELEASES, label=f"{names.PACKAGE_LABEL} in ({','.join(values)})") if values else []

    def _named(self, places: Iterable[_Place]) -> Iterator[Awaitable[list[tuple[Resource[Any], Any]]]]:
        """One question for each object that was not asked for before, and that can be there."""
        for place in places:
            resource, namespace, name = place
            possible = names.is_dns_subdomain(name) and (names.is_dns_label(namespace) or not resource.namespaced)
            if possible and place not in self._read:
                self._read.add(place)
                yield self._list(resource, namespace=namespace, name=name)

    async def _list(
        self, resource: Resource[Any], *, namespace: str = "", name: str = "", label: str = ""
    ) -> list[tuple[Resource[Any], Any]]:
        """A list also of one object: whoever may list does not need another right, and one that is not there is no error."""
        from cozystack.kube.errors import NotFound

        field = f"metadata.name={name}" if name else ""
        async with self._turns:
            try:
                found = await self._client.list(
                    narrow(resource), namespace=namespace, label_selector=label, field_selector=field
                )
            except NotFound:
                # The kind is not served.
                return []
        self.warnings += malformed(resource, found)
        return [(resource, item) for item in found.items]
