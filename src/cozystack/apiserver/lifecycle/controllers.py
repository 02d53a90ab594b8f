"""Garbage collection, the end of namespaces and CRDs, and what every namespace has.

One loop over all events. It keeps an index from owners to what they own, and a set of objects that are on their way out; each
event makes it look again at what the event may have freed. ``settle`` handles everything that is there now, so tests need no
waiting. Whoever falls behind in the events (a namespace of many thousand objects goes) begins again with what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, NamedTuple

from cozystack.api.time import parse_time
from cozystack.apiserver.crds import FINALIZER as CRD_FINALIZER
from cozystack.apiserver.crds import KEY as CRD_KEY
from cozystack.apiserver.deletion import FOREGROUND, ORPHAN
from cozystack.apiserver.errors import ApiError
from cozystack.apiserver.objects import DeleteOptions, Objects, WriteOptions
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.storage import Event, Stored

Obj = dict[str, Any]

NAMESPACES, EVENTS = "/namespaces", "/events"
SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
EVENT_LIFETIME = timedelta(hours=1)
_EXPIRY_SECONDS = 300
_MANAGER = "kube-controller-manager"
_BACKGROUND = "Background"


class Ref(NamedTuple):
    """Where an object is stored."""

    resource: str
    namespace: str
    name: str


class Lifecycle:
    """See the module. ``ca`` is the certificate of the authority that clients need, in PEM form; ``sleep`` waits for seconds
    of the clock that ``objects`` has."""

    def __init__(self, objects: Objects, *, ca: bytes = b"", sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._objects = objects
        self._storage = objects.storage
        self._ca = ca
        self._sleep = sleep
        self._begin()

    def _begin(self) -> None:
        """Follow the events from here on, and know what is there."""
        self._owned: dict[str, set[Ref]] = {}
        self._owners: dict[Ref, tuple[str, ...]] = {}
        self._uids: dict[str, Ref] = {}
        self._subscription = self._storage.subscribe("")
        for resource in self._storage.resources():
            for stored in self._storage.objects(resource):
                self._remember(stored)

    def start(self) -> None:
        """Make what a new cluster has, and finish what an earlier run left undone."""
        for name in SYSTEM_NAMESPACES:
            if self._storage.get(NAMESPACES, "", name) is None:
                self._create("", "v1", "namespaces", "", {"metadata": {"name": name}})
        if self._storage.get("/services", "default", "kubernetes") is None:
            service = {
                "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
                "spec": {"ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]},
            }
            self._create("", "v1", "services", "default", service)
        for resource in list(self._storage.resources()):
            for stored in list(self._storage.objects(resource)):
                self._look_at(stored)
        for ref in list(self._owners):
            self._collect(ref)
        self.settle()

    async def run(self) -> None:
        """Follow the events until cancelled."""
        self.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forget_now_and_then())
                while True:
                    for event in await self._subscription.wait():
                        self._handle(event)
                    self.settle()
        finally:
            self._subscription.close()

    def settle(self) -> None:
        """Handle every event there is, those included that the handling makes."""
        while events := self._subscription.drain():
            for event in events:
                self._handle(event)
        if self._subscription.closed:
            self._begin()
            self.start()

    # Bookkeeping

    def _remember(self, stored: Stored) -> bool:
        """Whether its owners are not those that were known."""
        ref = Ref(stored.resource, stored.namespace, stored.name)
        metadata = stored.object["metadata"]
        self._uids[metadata["uid"]] = ref
        owners = tuple(owner["uid"] for owner in metadata.get("ownerReferences") or ())
        before = self._owners.get(ref, ())
        if owners == before:
            return False
        for uid in before:
            self._owned.get(uid, set()).discard(ref)
        for uid in owners:
            self._owned.setdefault(uid, set()).add(ref)
        if owners:
            self._owners[ref] = owners
        else:
            self._owners.pop(ref, None)
        return True

    def _forget(self, stored: Stored) -> None:
        ref = Ref(stored.resource, stored.namespace, stored.name)
        for uid in self._owners.pop(ref, ()):
            self._owned.get(uid, set()).discard(ref)
        if self._uids.get(stored.object["metadata"]["uid"]) == ref:
            del self._uids[stored.object["metadata"]["uid"]]

    def _stored(self, ref: Ref) -> Stored | None:
        return self._storage.get(ref.resource, ref.namespace, ref.name)

    def _info(self, resource: str) -> ResourceInfo | None:
        group, _, plural = resource.partition("/")
        return self._objects.registry.any_version(group, plural)

    # Events

    def _handle(self, event: Event) -> None:
        if event.kind == "DELETED":
            self._forget(event.new)
            self._after_end(event.new)
            return
        has_other_owners = self._remember(event.new)
        self._look_at(event.new)
        if has_other_owners:
            self._collect(Ref(event.new.resource, event.new.namespace, event.new.name))

    def _look_at(self, stored: Stored) -> None:
        """What an object that is there needs to have done."""
        metadata = stored.object["metadata"]
        dying = "deletionTimestamp" in metadata
        if dying:
            finalizers = metadata.get("finalizers") or ()
            if ORPHAN in finalizers:
                self._orphan(stored)
            elif FOREGROUND in finalizers:
                self._foreground(stored)
            if stored.resource == NAMESPACES:
                self._empty_namespace(stored)
            elif stored.resource == CRD_KEY and CRD_FINALIZER in finalizers:
                self._empty_crd(stored)
        elif stored.resource == NAMESPACES:
            self._furnish(stored.name)

    def _after_end(self, gone: Stored) -> None:
        """What the end of an object frees: what it owned, who waited for it, its namespace, its CRD."""
        uid = gone.object["metadata"]["uid"]
        for ref in sorted(self._owned.pop(uid, ())):
            self._collect(ref)
        for owner in gone.object["metadata"].get("ownerReferences") or ():
            place = self._uids.get(owner["uid"])
            stored = self._stored(place) if place is not None else None
            if stored is not None:
                self._look_at(stored)
        if gone.namespace:
            namespace = self._storage.get(NAMESPACES, "", gone.namespace)
            if namespace is not None and "deletionTimestamp" in namespace.object["metadata"]:
                self._empty_namespace(namespace)
        group, _, plural = gone.resource.partition("/")
        crd = self._storage.get(CRD_KEY, "", f"{plural}.{group}")
        if crd is not None and "deletionTimestamp" in crd.object["metadata"]:
            self._look_at(crd)
        if gone.resource in ("/serviceaccounts", "/configmaps"):
            self._furnish(gone.namespace)

    # Garbage collection

    def _collect(self, ref: Ref) -> None:
        """Delete an object when every owner it names is gone; forget owners that are gone when others are left."""
        stored = self._stored(ref)
        if stored is None or "deletionTimestamp" in stored.object["metadata"]:
            return
        owners = stored.object["metadata"].get("ownerReferences") or []
        if not owners:
            return
        left = [owner for owner in owners if self._exists(owner, stored.namespace)]
        if not left:
            self._delete(ref, stored)
        elif len(left) < len(owners):
            self._patch(ref, {"metadata": {"ownerReferences": left}})

    def _exists(self, owner: Obj, namespace: str) -> bool:
        """Whether an owner is there: of that uid, and in the namespace of what it owns or in none."""
        ref = self._uids.get(owner["uid"])
        return ref is not None and ref.namespace in ("", namespace) and ref.name == owner["name"]

    def _foreground(self, stored: Stored) -> None:
        """Delete what the object owns; it goes when nothing is left that blocks it.

        What has another owner that stays only loses this one.
        """
        uid = stored.object["metadata"]["uid"]
        blocked = False
        for ref in sorted(self._owned.get(uid, ())):
            child = self._stored(ref)
            if child is None:
                continue
            if "deletionTimestamp" not in child.object["metadata"]:
                staying = [owner for owner in child.object["metadata"]["ownerReferences"] if self._stays(owner, child)]
                if staying:
                    self._patch(ref, {"metadata": {"ownerReferences": staying}})
                    continue
                self._delete_in_foreground(ref, child)
                child = self._stored(ref)
            if child is not None and any(
                owner["uid"] == uid and owner.get("blockOwnerDeletion")
                for owner in child.object["metadata"].get("ownerReferences") or ()
            ):
                blocked = True
        if not blocked:
            self._release(stored, FOREGROUND)

    def _stays(self, owner: Obj, child: Stored) -> bool:
        """Whether an owner is there and is not itself waiting for what it owns to go."""
        return self._exists(owner, child.namespace) and not self._waits(self._uids[owner["uid"]])

    def _waits(self, ref: Ref) -> bool:
        stored = self._stored(ref)
        if stored is None:
            return False
        metadata = stored.object["metadata"]
        return "deletionTimestamp" in metadata and FOREGROUND in (metadata.get("finalizers") or ())

    def _delete_in_foreground(self, ref: Ref, child: Stored) -> None:
        """Delete what is owned: after what it owns itself, if it owns anything."""
        owned = self._owned.get(child.object["metadata"]["uid"], ())
        if not owned:
            self._delete(ref, child)
            return
        if any(self._waits(other) for other in owned):
            # A circle: one of the two must not wait for the other.
            owners = [{**owner, "blockOwnerDeletion": False} for owner in child.object["metadata"]["ownerReferences"]]
            self._patch(ref, {"metadata": {"ownerReferences": owners}})
        self._delete(ref, child, propagation="Foreground")

    def _orphan(self, stored: Stored) -> None:
        """Take the object off the owners of everything that it owns, then let it go."""
        uid = stored.object["metadata"]["uid"]
        for ref in sorted(self._owned.get(uid, ())):
            child = self._stored(ref)
            if child is not None:
                owners = [o for o in child.object["metadata"].get("ownerReferences") or () if o["uid"] != uid]
                self._patch(ref, {"metadata": {"ownerReferences": owners or None}})
        self._release(stored, ORPHAN)

    def _release(self, stored: Stored, finalizer: str) -> None:
        """Take a finalizer off the object as it is now, which may be newer than ``stored``."""
        ref = Ref(stored.resource, stored.namespace, stored.name)
        current = self._stored(ref)
        if current is None or current.object["metadata"]["uid"] != stored.object["metadata"]["uid"]:
            return
        left = [f for f in current.object["metadata"].get("finalizers") or () if f != finalizer]
        self._patch(ref, {"metadata": {"finalizers": left or None}})

    # Namespaces and CRDs

    def _empty_namespace(self, namespace: Stored) -> None:
        """Delete everything in a dying namespace; it goes when nothing is left."""
        if "kubernetes" not in ((namespace.object.get("spec") or {}).get("finalizers") or ()):
            return
        empty = True
        for resource in list(self._storage.resources()):
            for stored in list(self._storage.objects(resource, namespace.name)):
                ref = Ref(resource, stored.namespace, stored.name)
                if "deletionTimestamp" not in stored.object["metadata"]:
                    self._delete(ref, stored)
                empty = empty and self._stored(ref) is None
        if empty:
            current = self._storage.get(NAMESPACES, "", namespace.name)
            if current is not None and "deletionTimestamp" in current.object["metadata"]:
                self._objects.finalize_namespace(namespace.name, [])

    def _empty_crd(self, crd: Stored) -> None:
        """Delete every object of a dying CRD; it goes when none is left."""
        resource = f"{crd.object['spec']['group']}/{crd.object['spec']['names']['plural']}"
        empty = True
        for stored in list(self._storage.objects(resource)):
            ref = Ref(resource, stored.namespace, stored.name)
            if "deletionTimestamp" not in stored.object["metadata"]:
                self._delete(ref, stored)
            empty = empty and self._stored(ref) is None
        if empty:
            self._release(crd, CRD_FINALIZER)

    def _furnish(self, namespace: str) -> None:
        """The service account and the certificate that every namespace has."""
        stored = self._storage.get(NAMESPACES, "", namespace)
        if stored is None or "deletionTimestamp" in stored.object["metadata"]:
            return
        if self._storage.get("/serviceaccounts", namespace, "default") is None:
            self._create("", "v1", "serviceaccounts", namespace, {"metadata": {"name": "default"}})
        if self._ca and self._storage.get("/configmaps", namespace, "kube-root-ca.crt") is None:
            content = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": self._ca.decode()}}
            self._create("", "v1", "configmaps", namespace, content)

    # Writing; what somebody else did first is no error

    def _create(self, group: str, version: str, plural: str, namespace: str, obj: Obj) -> None:
        info = self._objects.resource(group, version, plural)
        try:
            self._objects.create(info, namespace, obj, WriteOptions(manager=_MANAGER))
        except ApiError:
            return

    def _delete(self, ref: Ref, stored: Stored, *, propagation: str = _BACKGROUND) -> None:
        info = self._info(ref.resource)
        if info is None:
            self._storage.delete(*ref)
            return
        options = DeleteOptions(propagation=propagation, uid=stored.object["metadata"]["uid"])
        finalizers = stored.object["metadata"].get("finalizers") or ()
        if propagation == _BACKGROUND and (FOREGROUND in finalizers or ORPHAN in finalizers):
            options.propagation = ""
        try:
            self._objects.delete(info, ref.namespace, ref.name, options)
        except ApiError:
            return

    def _patch(self, ref: Ref, patch: Obj) -> None:
        info = self._info(ref.resource)
        if info is None:
            return
        try:
            self._objects.patch(info, ref.namespace, ref.name, "merge", patch, WriteOptions(manager=_MANAGER))
        except ApiError:
            return

    async def _forget_now_and_then(self) -> None:
        """Every five minutes, forget Events that are old and, as etcd is told to, the changes before those five minutes."""
        version = self._storage.version
        while True:
            await self._sleep(_EXPIRY_SECONDS)
            self.expire_events()
            self._storage.compact(version)
            version = self._storage.version

    def expire_events(self) -> None:
        """Delete Events that nothing has happened to for more than an hour."""
        now = parse_time(self._objects.now())
        for stored in list(self._storage.objects(EVENTS)):
            event = stored.object
            series = event.get("series") or {}
            stamps = (event["metadata"]["creationTimestamp"], event.get("lastTimestamp"), series.get("lastObservedTime"))
            if now - max(parse_time(stamp) for stamp in stamps if stamp) > EVENT_LIFETIME:
                self._storage.delete(EVENTS, stored.namespace, stored.name)
