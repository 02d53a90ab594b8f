"""The operator's view: what its watches tell, put into the planner's catalogue, and who has to look again because of it.

Every change of an object is one edit of the catalogue; the edit says which Packages, PackageSources and namespaces it affects,
and exactly those are triggered. Objects that a write returned are put in as well, so that the next plan does not start from a
state that is known to be old; an older one that a watch brings later is passed over. Not so one that a new list brings: when
the API server was restored from a backup, its versions begin again at lower numbers, and what it says is so all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from cozystack.api import names
from cozystack.api.core import Namespace, Secret
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key, Object
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
)
from cozystack.kube import ChangeKind, Client, Informer, forget, ownership
from cozystack.operator.sharing import shared_parts
from cozystack.operator.takeover import LEGACY_MANAGERS
from cozystack.planner import Affected, Catalogue, Settings
from cozystack.runtime import Registry, Service, show_informer


class View:
    """See the module. ``on_affected`` is called after every edit with what it affects."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        *,
        on_affected: Callable[[Affected], None],
        random: Random | None = None,
    ) -> None:
        self.catalogue = Catalogue(settings)
        self._on_affected = on_affected
        self._versions: dict[tuple[str, Key], tuple[int, str]] = {}
        """The newest that is known of an object: version and uid."""
        self.namespaces: Informer[Namespace] = Informer(client, NAMESPACES, random=random)
        # One bit of the managed fields is kept: whether the original has written the object.
        marked = ownership((), LEGACY_MANAGERS)
        only_values = f"metadata.name={settings.values_secret}"
        self.secrets: Informer[Secret] = Informer(client, SECRETS, field_selector=only_values, transform=marked, random=random)
        self.releases: Informer[HelmRelease] = Informer(
            client, HELM_RELEASES, label_selector=names.PACKAGE_LABEL, transform=marked, random=random
        )
        system = names.SYSTEM_NAMESPACE
        self._informers: list[Informer[Any]] = [
            self.namespaces,
            self.secrets,
            Informer(client, PACKAGE_SOURCES, transform=shared_parts(), random=random),
            Informer(client, PACKAGES, random=random),
            self.releases,
            Informer(client, ARTIFACT_GENERATORS, namespace=system, random=random),
            Informer(client, EXTERNAL_ARTIFACTS, namespace=system, random=random),
            Informer(client, OCI_REPOSITORIES, random=random),
            Informer(client, GIT_REPOSITORIES, random=random),
        ]

    def services(self) -> list[Service]:
        return [Service(f"watch {informer.resource}", informer.run) for informer in self._informers]

    def show(self, registry: Registry) -> None:
        """Gauges of what is cached."""
        for informer in self._informers:
            show_informer(registry, informer)

    async def fill(self) -> None:
        """Wait for every watch to be in step, then put everything in at once, and follow from there."""
        for informer in self._informers:
            await informer.wait_synced()
        with self.catalogue.batch() as affected:
            for informer in self._informers:
                informer.on_change(self._handler(informer))
        for each in affected:
            self._on_affected(each)

    def put(self, obj: Object) -> None:
        """An object as a write returned it; its ``managedFields`` are not kept."""
        if self._is_news(obj):
            forget(obj)
            self._on_affected(self._edit(obj))

    def set_release_data(self, key: Key, holds: tuple[str, ...] | None) -> None:
        """What would be lost with a release, as somebody has found out."""
        self._on_affected(self.catalogue.set_release_data(key, holds))

    def forget(self, release: HelmRelease) -> None:
        """A release that no watch tells of is gone."""
        self._versions.pop((type(release).__name__, release.key), None)
        self._on_affected(self.catalogue.remove_release(release.key))

    def _handler(self, informer: Informer[Any]) -> Callable[[ChangeKind, Any, Any], None]:
        resource = informer.resource
        lists = informer.lists

        def changed(kind: ChangeKind, old: Any, new: Any) -> None:
            nonlocal lists
            if informer.lists != lists:
                lists = informer.lists
                self._forget_versions(resource.kind)
            if kind == "deleted":
                # A write that was answered late must not bring it back. One that only lost its label is at this very version.
                self._versions[resource.kind, old.key] = (_version(old) - 1, old.metadata.uid)
                self._on_affected(self._remove(resource, old))
            elif self._is_news(new, made_anew=True):
                self._on_affected(self._edit(new))

        return changed

    def _forget_versions(self, kind: str) -> None:
        for place in [place for place in self._versions if place[0] == kind]:
            del self._versions[place]

    def _is_news(self, obj: Object, *, made_anew: bool = False) -> bool:
        """Whether nothing as new is known; with ``made_anew`` an object of another uid is news at any version."""
        version, uid = _version(obj), obj.metadata.uid
        place = (type(obj).__name__, obj.key)
        known, known_uid = self._versions.get(place, (0, uid))
        if version and version <= known and (uid == known_uid or not made_anew):
            return False
        self._versions[place] = (version, uid)
        return True

    def _edit(self, obj: Object) -> Affected:
        if isinstance(obj, Secret):
            return self.catalogue.set_values_secret(obj.metadata.namespace, has_key=names.VALUES_KEY in obj.data)
        return self.catalogue.put(obj)

    def _remove(self, resource: Resource[Any], obj: Any) -> Affected:
        name, key = obj.metadata.name, obj.key
        if resource is PACKAGES:
            return self.catalogue.remove_package(name)
        if resource is PACKAGE_SOURCES:
            return self.catalogue.remove_source(name)
        if resource is HELM_RELEASES:
            return self.catalogue.remove_release(key)
        if resource is ARTIFACT_GENERATORS:
            return self.catalogue.remove_generator(name)
        if resource is EXTERNAL_ARTIFACTS:
            return self.catalogue.remove_artifact(name)
        if resource is NAMESPACES:
            return self.catalogue.remove_namespace(name)
        if resource is SECRETS:
            return self.catalogue.remove_values_secret(obj.metadata.namespace)
        return self.catalogue.remove_repository(resource.kind, key)


def _version(obj: Object) -> int:
    text = obj.metadata.resource_version
    return int(text) if text.isdecimal() else 0
