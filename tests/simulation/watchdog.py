"""What may never happen, checked at every write of an operator: by what the server holds, by nothing that the operator thinks.

- Two operators never write at the same time, and one that has lost the lease writes nothing.
- Nothing is deleted that is not ours, and nothing of somebody else's is written to.
- A release is created only when every release of the Packages below it has run, as far as the operator can know: at some moment
  since it was last known to have seen everything.

Past states are those of the storage. The rule of the gate stands here a second time, in a few lines and on plain JSON, so that
a mistake of the planner is not repeated by its judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from cozystack.api import names
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    EXTERNAL_ARTIFACTS,
    HELM_RELEASES,
    PACKAGE_SOURCES,
    PACKAGES,
    SECRETS,
    Resource,
)
from cozystack.apiserver.http.api import ApiServer
from simulation.network import Sent
from support.operator import Obj, observed, path_of

_Place = tuple[str, str]
_OURS = {names.PACKAGE_MANAGER, names.PACKAGE_SOURCE_MANAGER, names.OPERATOR_MANAGER}


class Watchdog:
    """``foreign`` are the paths of objects that are somebody else's; ``broken`` says what should not have happened."""

    def __init__(self, server: ApiServer) -> None:
        self.broken: list[str] = []
        self.foreign: set[str] = set()
        self.checked = 0
        """How many creations of releases were judged."""
        self._storage = server.storage
        self._events = server.storage.subscribe("")
        self._past: dict[_Place, list[tuple[int, Obj | None]]] = {}
        self._known_since = 0

    def in_step(self) -> None:
        """The operator has seen everything there is now, and has done what is to be done about it."""
        self._read()
        self._known_since = self._storage.version

    def look_after_foreign(self) -> None:
        """What is somebody else's carries no mark of an operator."""
        for path in self.foreign:
            live = self._live(HELM_RELEASES, path)
            managers = {entry["manager"] for entry in (live or {"metadata": {}})["metadata"].get("managedFields", ())}
            if managers & _OURS:
                self.broken.append(f"{path} is somebody else's, and was written by {sorted(managers & _OURS)}")

    def look(self, who: str, sent: Sent, others: list[str]) -> None:
        """Judge a write of ``who`` that reaches the server; ``others`` lead at this moment."""
        if "/leases" in sent.path or sent.path.endswith("/events") or "/events/" in sent.path:
            return
        line = f"{who}: {sent.method} {sent.path}"
        if not sent.led or others:
            self.broken.append(f"{line} though {', '.join(others) or 'nobody'} holds the lease")
        if sent.method == "DELETE":
            self._judge_deletion(line, sent)
        elif sent.method == "PATCH" and _names(sent.path, HELM_RELEASES):
            self._judge_creation(line, sent)

    # Deletions

    def _judge_deletion(self, line: str, sent: Sent) -> None:
        kinds: tuple[tuple[Resource[Any], Callable[[Obj], bool]], ...] = (
            (HELM_RELEASES, _is_of_a_package),
            (ARTIFACT_GENERATORS, _is_of_a_source),
            (SECRETS, _is_a_copy),
        )
        for resource, is_ours in kinds:
            if _names(sent.path, resource):
                live = self._live(resource, sent.path)
                if live is not None and not is_ours(live):
                    self.broken.append(f"{line}, which is not ours: {live['metadata']}")
                return
        self.broken.append(f"{line}: an operator deletes nothing of this kind")

    def _live(self, resource: Resource[Any], path: str) -> Obj | None:
        stored = self._storage.get(f"{resource.group}/{resource.plural}", *_key(path))
        return stored.object if stored is not None else None

    # The gate

    def _judge_creation(self, line: str, sent: Sent) -> None:
        if self._live(HELM_RELEASES, sent.path) is not None or not sent.body.startswith(b"{"):
            return
        release: Obj = msgspec.json.decode(sent.body)
        if "spec" not in release:
            return
        package = release["metadata"].get("labels", {}).get(names.PACKAGE_LABEL, "")
        self._read()
        self.checked += 1
        if not any(self._may_have_opened(needed) for needed in self._needs(package)):
            self.broken.append(f"{line}: the Packages below {package} do not run, and did not since {self._known_since}")

    def _needs(self, package: str) -> Iterator[frozenset[str]]:
        """The Packages that ``package`` waits for, as of each state of its source that an operator may know."""
        for source in self._states(PACKAGE_SOURCES, package):
            for wanted in self._states(PACKAGES, package):
                if source is not None and wanted is not None:
                    ignored = wanted["spec"].get("ignoreDependencies", ())
                    yield frozenset(source["spec"]["variants"][0].get("dependsOn", ())) - frozenset(ignored)

    def _may_have_opened(self, needed: frozenset[str]) -> bool:
        return all(self._may_have_run(package) for package in needed)

    def _may_have_run(self, package: str) -> bool:
        return any(
            all(self._may_have_been_installed(*release) for release in _releases(wanted, source))
            for wanted in self._states(PACKAGES, package)
            for source in self._states(PACKAGE_SOURCES, package)
            if wanted is not None and source is not None
        )

    def _may_have_been_installed(self, release: str, artifact: str) -> bool:
        charts = list(self._states(EXTERNAL_ARTIFACTS, f"{names.SYSTEM_NAMESPACE}/{artifact}"))
        digests = {chart.get("status", {}).get("artifact", {}).get("digest") for chart in charts if chart is not None}
        return any(
            live is not None and _runs(live, digests if None not in charts else None)
            for live in self._states(HELM_RELEASES, release)
        )

    # The past

    def _states(self, resource: Resource[Any], path: str) -> Iterator[Obj | None]:
        """What an object was, from the moment since which the operator may know of it; ``None`` while there was none."""
        past = self._past.get((f"{resource.group}/{resource.plural}", path), [])
        before = [state for version, state in past if version <= self._known_since][-1:] or [None]
        yield from before
        for version, state in past:
            if version > self._known_since:
                yield state

    def _read(self) -> None:
        for event in self._events.drain():
            stored = event.new
            path = f"{stored.namespace}/{stored.name}" if stored.namespace else stored.name
            state = None if event.kind == "DELETED" else stored.object
            self._past.setdefault((stored.resource, path), []).append((event.version, state))


def _releases(package: Obj, source: Obj) -> Iterator[tuple[str, str]]:
    """The releases of a Package, each with the name of its chart's artifact."""
    overrides = package["spec"].get("components", {})
    for component in source["spec"]["variants"][0]["components"]:
        if "install" in component and overrides.get(component["name"], {}).get("enabled", True):
            artifact = names.artifact_name(source["metadata"]["name"], names.DEFAULT_VARIANT, component["name"])
            yield f"{component['install']['namespace']}/{component['name']}", artifact


def _runs(release: Obj, digests: set[str | None] | None) -> bool:
    """One that is suspended, or has no artifact any more, runs what it runs."""
    status = release.get("status", {})
    if release["spec"].get("suspend"):
        return any(entry["status"] == "deployed" for entry in status.get("history", ()))
    return observed(release) and (digests is None or status.get("lastAttemptedRevisionDigest") in digests)


def _is_of_a_package(obj: Obj) -> bool:
    """Labelled as a Package's, and nobody else's."""
    owners = obj["metadata"].get("ownerReferences", ())
    ours = all(owner["kind"] == "Package" for owner in owners if owner.get("controller"))
    return names.PACKAGE_LABEL in obj["metadata"].get("labels", {}) and ours


def _is_of_a_source(obj: Obj) -> bool:
    return any(owner["kind"] == "PackageSource" for owner in obj["metadata"].get("ownerReferences", ()))


def _is_a_copy(obj: Obj) -> bool:
    return names.REPLICATED_ANNOTATION in obj["metadata"].get("annotations", {})


def _names(path: str, resource: Resource[Any]) -> bool:
    """The path of one object of that resource, not of a subresource."""
    parts = path.strip("/").split("/")
    return parts[:1] == (["apis"] if resource.group else ["api"]) and parts[-2:-1] == [resource.plural]


def _key(path: str) -> tuple[str, str]:
    parts = path.strip("/").split("/")
    return (parts[-3] if parts[-4] == "namespaces" else "", parts[-1])


def path_to(resource: Resource[Any], obj: Obj) -> str:
    """The path of an object in the API."""
    namespace, _, name = path_of(obj).rpartition("/")
    return resource.path(namespace, name)
