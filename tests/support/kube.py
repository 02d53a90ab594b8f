"""A small API server in memory, reached without sockets, that can be told to misbehave.

Honest about what clients rely on: versions that grow with every write, pages with tokens, watches that replay from a version,
bookmarks, 404, 409, 410. It knows no schemas, no admission and no field management: an apply is a merge that notes its keys.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import unquote

import msgspec

from cozystack.api.meta import Key
from cozystack.api.resources import Resource
from cozystack.kube.errors import ConnectionFailed
from cozystack.kube.transport import EMPTY, Response, ResponseStream

Object = dict[str, Any]


@dataclass(slots=True)
class Seen:
    """One request as the server got it."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True)
class _Collection:
    resource: Resource[Any]
    objects: dict[Key, Object] = field(default_factory=dict)
    history: list[tuple[int, str, Object]] = field(default_factory=list)
    watchers: list[_Watcher] = field(default_factory=list)


class _Watcher:
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            item = await self.queue.get()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item


Fault = Response | Exception
"""What happens instead of (or, for exceptions raised after the fact, in spite of) an answer."""


class FakeApi:
    """A ``Transport``. Objects are plain JSON; ``put`` and ``remove`` are somebody else's writes."""

    def __init__(self, *resources: Resource[Any]) -> None:
        self.version = 100
        self.oldest = 0
        self.requests: list[Seen] = []
        self._collections = {_prefix(resource): _Collection(resource) for resource in resources}
        self._faults: list[tuple[Callable[[Seen], bool], Fault, bool]] = []
        self._tokens: dict[str, tuple[int, list[Object]]] = {}
        self.closed = False

    # what tests do to it

    def put(self, resource: Resource[Any], obj: Object) -> Object:
        """Create or replace an object; tells every watch."""
        collection = self._collections[_prefix(resource)]
        key = _key(obj)
        old = collection.objects.get(key)
        self.version += 1
        stored = copy.deepcopy(obj)
        stored.setdefault("apiVersion", resource.api_version)
        stored.setdefault("kind", resource.kind)
        metadata = stored["metadata"]
        metadata["resourceVersion"] = str(self.version)
        metadata.setdefault("uid", (old or stored)["metadata"].get("uid") or f"uid-{self.version}")
        collection.objects[key] = stored
        self._tell(collection, "MODIFIED" if old else "ADDED", stored)
        return copy.deepcopy(stored)

    def remove(self, resource: Resource[Any], key: Key) -> None:
        collection = self._collections[_prefix(resource)]
        self.version += 1
        gone = collection.objects.pop(key)
        gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
        self._tell(collection, "DELETED", gone)

    def object(self, resource: Resource[Any], key: Key) -> Object:
        return copy.deepcopy(self._collections[_prefix(resource)].objects[key])

    def objects(self, resource: Resource[Any]) -> Mapping[Key, Object]:
        return self._collections[_prefix(resource)].objects

    def forget_history(self) -> None:
        """Watches and pages of versions before now get 410."""
        self.oldest = self.version
        self._tokens.clear()

    def end_watches(self, error: Exception | None = None) -> None:
        """Close every stream, properly or by an error."""
        for collection in self._collections.values():
            for watcher in collection.watchers:
                watcher.queue.put_nowait(error)
            collection.watchers.clear()

    def send(self, resource: Resource[Any], line: bytes) -> None:
        """Write raw bytes to every watch of a resource."""
        for watcher in self._collections[_prefix(resource)].watchers:
            watcher.queue.put_nowait(line)

    def bookmark(self, resource: Resource[Any]) -> None:
        self.version += 1
        bookmark = {"kind": resource.kind, "metadata": {"resourceVersion": str(self.version)}}
        self.send(resource, _line("BOOKMARK", bookmark))

    def fail(self, fault: Fault, *, when: Callable[[Seen], bool] = lambda _: True, after: bool = False, times: int = 1) -> None:
        """Answer the next matching requests with ``fault``; ``after`` the server has carried them out, if so told."""
        self._faults += [(when, fault, after)] * times

    def lines(self, *methods: str) -> list[str]:
        """The requests so far, all or those of some methods."""
        return [seen.line for seen in self.requests if not methods or seen.method in methods]

    # the transport

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        await asyncio.sleep(0)
        seen = Seen(method, path, dict(query), msgspec.json.decode(body) if body else None, dict(headers))
        self.requests.append(seen)
        fault, after = self._fault(seen)
        if fault is not None and not after:
            return _raise_or_return(fault)
        response = self._answer(seen)
        if fault is not None:
            return _raise_or_return(fault)
        return response

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> AsyncIterator[ResponseStream]:
        await asyncio.sleep(0)
        seen = Seen(method, path, dict(query), None, dict(headers))
        self.requests.append(seen)
        fault, _ = self._fault(seen)
        response = _raise_or_return(fault) if fault is not None else None
        collection, key = self._find(path)
        if response is None and collection is None:
            response = _status(404, "NotFound", "the server could not find the requested resource")
        if response is not None:
            yield ResponseStream(response.status, response.headers, _once(response.body))
            return
        assert collection is not None
        watcher = _Watcher(key.namespace)
        self._replay(collection, watcher, seen.query)
        collection.watchers.append(watcher)
        try:
            yield ResponseStream(200, {}, watcher.chunks())
        finally:
            if watcher in collection.watchers:
                collection.watchers.remove(watcher)

    async def close(self) -> None:
        self.closed = True

    # the server

    def _answer(self, seen: Seen) -> Response:
        collection, key = self._find(seen.path)
        if collection is None:
            return _status(404, "NotFound", "the server could not find the requested resource")
        subresource = self._subresource(collection, seen.path)
        old = collection.objects.get(key)
        if seen.method == "GET":
            if not key.name:
                return self._list(collection, key.namespace, seen.query)
            return _json(old) if old else _missing(collection, key)
        if seen.query.get("dryRun"):
            return _json(seen.body)
        if seen.method == "POST":
            obj = seen.body
            if key.namespace:
                obj["metadata"].setdefault("namespace", key.namespace)
            if _key(obj) in collection.objects:
                return _status(409, "AlreadyExists", f'{collection.resource} "{_key(obj).name}" already exists')
            return _json(self.put(collection.resource, obj), 201)
        if seen.method == "DELETE":
            if old is None:
                return _missing(collection, key)
            preconditions = (seen.body or {}).get("preconditions", {})
            for name, value in preconditions.items():
                if old["metadata"].get(name) != value:
                    return _status(409, "Conflict", f"the precondition on {name} failed")
            self.remove(collection.resource, key)
            return Response(200, {}, msgspec.json.encode({"kind": "Status", "status": "Success"}))
        apply = seen.headers.get("Content-Type") == "application/apply-patch+yaml"
        if old is None and not apply:
            return _missing(collection, key)
        old = old or {"metadata": {}}
        expected = seen.body.get("metadata", {}).get("resourceVersion")
        if expected and expected != old["metadata"].get("resourceVersion"):
            return _status(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
        if seen.method == "PUT":
            new = {**old, "status": seen.body.get("status", {})} if subresource == "status" else seen.body
        else:
            new = _merge(old, seen.body)
        if new == old:
            return _json(old)
        return _json(self.put(collection.resource, new))

    def _list(self, collection: _Collection, namespace: str, query: Mapping[str, str]) -> Response:
        token = query.get("continue", "")
        if token:
            if token not in self._tokens:
                return _status(410, "Expired", "The provided continue parameter is too old")
            version, items = self._tokens.pop(token)
        else:
            version = self.version
            items = [obj for key, obj in sorted(collection.objects.items()) if not namespace or key.namespace == namespace]
            items = _selected(items, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        limit = int(query.get("limit", "0")) or len(items)
        page, rest = items[:limit], items[limit:]
        metadata: Object = {"resourceVersion": str(version)}
        if rest:
            metadata["continue"] = f"token-{version}-{len(rest)}"
            self._tokens[metadata["continue"]] = (version, rest)
        return _json({"kind": f"{collection.resource.kind}List", "metadata": metadata, "items": page or None})

    def _replay(self, collection: _Collection, watcher: _Watcher, query: Mapping[str, str]) -> None:
        if query.get("sendInitialEvents") == "true":
            for key, obj in sorted(collection.objects.items()):
                if not watcher.namespace or key.namespace == watcher.namespace:
                    watcher.queue.put_nowait(_line("ADDED", obj))
            metadata = {"resourceVersion": str(self.version), "annotations": {"k8s.io/initial-events-end": "true"}}
            watcher.queue.put_nowait(_line("BOOKMARK", {"metadata": metadata}))
            return
        since = int(query.get("resourceVersion", "0"))
        if since < self.oldest:
            status = {
                "kind": "Status",
                "status": "Failure",
                "reason": "Expired",
                "code": 410,
                "message": "too old resource version",
            }
            watcher.queue.put_nowait(_line("ERROR", status))
            watcher.queue.put_nowait(None)
            return
        for version, kind, obj in collection.history:
            if version > since:
                self._send(watcher, kind, obj)

    def _tell(self, collection: _Collection, kind: str, obj: Object) -> None:
        collection.history.append((self.version, kind, copy.deepcopy(obj)))
        for watcher in collection.watchers:
            self._send(watcher, kind, obj)

    def _send(self, watcher: _Watcher, kind: str, obj: Object) -> None:
        if not watcher.namespace or obj["metadata"].get("namespace") == watcher.namespace:
            watcher.queue.put_nowait(_line(kind, obj))

    def _find(self, path: str) -> tuple[_Collection | None, Key]:
        parts = unquote(path).strip("/").split("/")
        root = 2 if parts[0] == "api" else 3
        namespace = ""
        rest = parts[root:]
        if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] != "status":
            namespace, rest = rest[1], rest[2:]
        prefix = "/".join([*parts[:root], *rest[:1]])
        name = rest[1] if len(rest) > 1 else ""
        return self._collections.get(prefix), Key(namespace, name)

    def _subresource(self, collection: _Collection, path: str) -> str:
        tail = path.rstrip("/").rsplit("/", 1)[-1]
        return tail if tail in ("status", "scale") else ""

    def _fault(self, seen: Seen) -> tuple[Fault | None, bool]:
        for index, (when, fault, after) in enumerate(self._faults):
            if when(seen):
                del self._faults[index]
                return fault, after
        return None, False


def error(code: int, reason: str, message: str = "told to fail", **headers: str) -> Response:
    """A Status to ``fail`` with; header names have underscores."""
    response = _status(code, reason, message)
    response.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return response


def seeded(seed: int = 1) -> Random:
    """Chance that is the same in every run."""
    return Random(seed)  # noqa: S311


def lost() -> ConnectionFailed:
    return ConnectionFailed("the connection was reset")


def _raise_or_return(fault: Fault) -> Response:
    if isinstance(fault, Exception):
        raise fault
    return fault


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _prefix(resource: Resource[Any]) -> str:
    return resource.path().lstrip("/")


def _key(obj: Object) -> Key:
    return Key(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "application/json"}, msgspec.json.encode(value))


def _status(code: int, reason: str, message: str) -> Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code}
    return _json(status, code)


def _missing(collection: _Collection, key: Key) -> Response:
    return _status(404, "NotFound", f'{collection.resource} "{key.name}" not found')


def _line(kind: str, obj: Object) -> bytes:
    return msgspec.json.encode({"type": kind, "object": obj}) + b"\n"


def _merge(old: Any, patch: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(patch, dict):
        return patch
    merged = dict(old)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(old.get(name, {}), value) if isinstance(value, dict) else value
    return merged


_LABEL = re.compile(r"([^,=\s]+)(?:=([^,]*)| in \(([^)]*)\))")


def _selected(items: list[Object], labels: str, fields: str) -> list[Object]:
    """Labels are ``KEY=VALUE`` or ``KEY in (VALUE,VALUE)``; the only field is ``metadata.name``, equal or (``!=``) not."""
    wanted = {key: {value} if value else {*values.split(",")} for key, value, values in _LABEL.findall(labels)}
    name = fields.rpartition("=")[2]
    return [
        obj
        for obj in items
        if all(obj["metadata"].get("labels", {}).get(key) in values for key, values in wanted.items())
        and (not name or (obj["metadata"]["name"] == name) != ("!=" in fields))
    ]
