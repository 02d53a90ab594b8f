"""What is known beyond the planner's view, as plain objects, indexed by release and by owner.

An object belongs to a release by the annotations that Helm puts on it; a Pod by the chain of its controllers. Events are found
by the object that they speak of. Whatever is absent was not looked at, or is not there: nothing is concluded from that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from cozystack.api.meta import Key

Obj: TypeAlias = Mapping[str, Any]

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet")
_RELEASE = "meta.helm.sh/release-name"
_NAMESPACE = "meta.helm.sh/release-namespace"


class Evidence:
    """Objects of any kind that a cluster shows; those that the planner knows by itself are passed over."""

    def __init__(self, objects: Iterable[Obj] = ()) -> None:
        self._by_kind: dict[str, dict[Key, Obj]] = {}
        self._of_release: dict[Key, list[Obj]] = {}
        self._owned: dict[tuple[str, Key], list[Obj]] = {}
        self._events: dict[tuple[str, Key], list[Obj]] = {}
        for obj in objects:
            self.add(obj)

    def add(self, obj: Obj) -> None:
        kind, meta = str(obj.get("kind", "")), obj.get("metadata") or {}
        key = Key(meta.get("namespace", ""), meta.get("name", ""))
        if kind == "Event":
            about = obj.get("involvedObject") or obj.get("regarding") or {}
            where = (str(about.get("kind", "")), Key(about.get("namespace", ""), about.get("name", "")))
            self._events.setdefault(where, []).append(obj)
            return
        self._by_kind.setdefault(kind, {})[key] = obj
        annotations = meta.get("annotations") or {}
        if _RELEASE in annotations:
            release = Key(annotations.get(_NAMESPACE, key.namespace), annotations[_RELEASE])
            self._of_release.setdefault(release, []).append(obj)
        for owner in meta.get("ownerReferences") or ():
            if owner.get("controller"):
                self._owned.setdefault((owner["kind"], Key(key.namespace, owner["name"])), []).append(obj)

    def find(self, kind: str, namespace: str, name: str) -> Obj | None:
        return self._by_kind.get(kind, {}).get(Key(namespace, name))

    def all(self, kind: str, namespace: str = "") -> list[Obj]:
        found = self._by_kind.get(kind, {})
        return [found[key] for key in sorted(found) if not namespace or key.namespace == namespace]

    def of_release(self, release: Key) -> list[Obj]:
        """The objects that Helm made for a release, in the order of kind and name."""
        return sorted(self._of_release.get(release, ()), key=lambda obj: (str(obj.get("kind")), name_of(obj)))

    def owned(self, obj: Obj) -> list[Obj]:
        """What an object controls."""
        key = Key(namespace_of(obj), name_of(obj))
        return sorted(self._owned.get((str(obj.get("kind")), key), ()), key=name_of)

    def pods(self, obj: Obj) -> list[Obj]:
        """The Pods below a workload."""
        found = []
        for child in self.owned(obj):
            found += [child] if child.get("kind") == "Pod" else self.pods(child)
        return found

    def events(self, obj: Obj) -> list[Obj]:
        """What Events say of an object, the newest first; warnings only."""
        where = (str(obj.get("kind", "")), Key(namespace_of(obj), name_of(obj)))
        found = [event for event in self._events.get(where, ()) if event.get("type") == "Warning"]
        return sorted(found, key=_moment, reverse=True)


def name_of(obj: Obj) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))


def namespace_of(obj: Obj) -> str:
    return str((obj.get("metadata") or {}).get("namespace", ""))


def ref(obj: Obj) -> str:
    """``Kind/namespace/name``"""
    return "/".join(filter(None, (str(obj.get("kind", "")), namespace_of(obj), name_of(obj))))


def condition(obj: Obj, kind: str) -> Mapping[str, Any]:
    """A condition of an object's status; empty when it has none of that type."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), {})


def _moment(event: Obj) -> str:
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")
