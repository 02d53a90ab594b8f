"""A client for the behaviour suite of the API server.

The suite knows nothing but a URL and a token, and asks for nothing that a real kube-apiserver would not answer. By default the
server is the embedded one, in this process; with ``KUBE_TEST_URL`` and
``KUBE_TEST_TOKEN`` the same tests run against a real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import pytest

from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import User
from cozystack.apiserver.http.server import serve
from cozystack.apiserver.lifecycle import Lifecycle
from cozystack.apiserver.storage import Storage, open_storage

TOKEN = "test-token"
ADMIN = User("admin", ("system:masters", "system:authenticated"))
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_PATIENCE = 90.0
"""Seconds. A real garbage collector looks for new kinds every half a minute."""

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
Obj = dict[str, Any]


def embedded_only(reason: str) -> pytest.MarkDecorator:
    """For a test of a behaviour in which the embedded server differs from a real one on purpose; ``docs/e2e.md`` lists them."""
    return pytest.mark.embedded_only(reason)


@dataclass(slots=True)
class Answer:
    status: int
    headers: Any
    raw: bytes

    @property
    def body(self) -> Any:
        return msgspec.json.decode(self.raw)

    @property
    def warnings(self) -> list[str]:
        return list(self.headers.getall("Warning", ()))


class Watching:
    """An open watch; ``next`` gives the type and the object of the next event."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status

    async def next(self) -> tuple[str, Obj]:
        async with asyncio.timeout(_PATIENCE):
            line = await self._response.content.readline()
        if not line:
            raise EOFError("the watch has ended")
        event = msgspec.json.decode(line)
        return event["type"], event["object"]

    async def names(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the next events."""
        found = [await self.next() for _ in range(count)]
        return [(kind, obj["metadata"].get("name", "")) for kind, obj in found]

    async def rest(self) -> list[tuple[str, Obj]]:
        """All events up to the end of the watch."""
        found = []
        while True:
            try:
                found.append(await self.next())
            except EOFError:
                return found


class Api:
    """Requests against one server."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        content_type: str = "application/json",
        **query: Any,
    ) -> Answer:
        sent = {"Content-Type": content_type} if body is not None else {}
        content = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        data = io.BytesIO(content) if content is not None else None
        async with (
            asyncio.timeout(_PATIENCE),
            self.session.request(
                method, self.url + path, data=data, headers={**sent, **(headers or {})}, params=_query(query)
            ) as response,
        ):
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **query: Any) -> Answer:
        return await self.request("GET", path, **query)

    async def create(self, path: str, obj: Obj, **query: Any) -> Answer:
        return await self.request("POST", path, obj, **query)

    async def replace(self, path: str, obj: Obj, **query: Any) -> Answer:
        return await self.request("PUT", path, obj, **query)

    async def patch(self, path: str, patch: Any, content_type: str = MERGE, **query: Any) -> Answer:
        return await self.request("PATCH", path, patch, content_type=content_type, **query)

    async def apply(self, path: str, obj: Obj, manager: str = "tester", **query: Any) -> Answer:
        return await self.request("PATCH", path, obj, content_type=APPLY, fieldManager=manager, **query)

    async def delete(self, path: str, options: Obj | None = None, **query: Any) -> Answer:
        return await self.request("DELETE", path, options, **query)

    async def until(self, path: str, reached: Callable[[Answer], bool], **query: Any) -> Answer:
        """Ask until the answer is as wanted: what controllers do takes its time on a real server."""
        async with asyncio.timeout(_PATIENCE):
            while not reached(answer := await self.get(path, **query)):
                pass
        return answer

    async def define(self, definition: Obj) -> None:
        """Create a CRD and wait until its objects can be written: it is served a little after it is established."""
        answer = await self.create(DEFINITIONS, definition)
        assert answer.status == 201, answer.raw
        spec = definition["spec"]
        version = next(entry["name"] for entry in spec["versions"] if entry.get("served"))
        await self.until(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}", lambda answer: answer.status == 200)

    @contextlib.asynccontextmanager
    async def watch(self, path: str, *, headers: dict[str, str] | None = None, **query: Any) -> AsyncIterator[Watching]:
        async with self.session.get(self.url + path, params=_query({"watch": "true", **query}), headers=headers) as response:
            yield Watching(response)


@contextlib.asynccontextmanager
async def embedded(storage: Storage | None = None, *, controllers: bool = False, **options: Any) -> AsyncIterator[Api]:
    """The embedded server on an ephemeral port of loopback; with its controllers if asked for."""
    api = ApiServer(storage if storage is not None else open_storage(None), tokens={TOKEN: ADMIN}, **options)
    async with contextlib.AsyncExitStack() as stack:
        if controllers:
            lifecycle = Lifecycle(api.objects, ca=b"the authority")
            lifecycle.start()
            running = asyncio.create_task(lifecycle.run())
            stack.callback(running.cancel)
        listener = await serve(api)
        stack.push_async_callback(listener.close)
        yield await stack.enter_async_context(client(f"http://127.0.0.1:{listener.port}", TOKEN))


@contextlib.asynccontextmanager
async def client(url: str, token: str) -> AsyncIterator[Api]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connector = aiohttp.TCPConnector(ssl=False, limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers, auto_decompress=True) as session:
        try:
            yield Api(session, url)
        finally:
            # TLS ends with an exchange of its own, for which the loop of a test does not wait; to cut it off takes some turns.
            await connector.close(abort_ssl=True)
            for _ in range(10):
                await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def server_under_test() -> AsyncIterator[Api]:
    """The server that the environment names, or the embedded one."""
    url = os.environ.get("KUBE_TEST_URL", "")
    async with client(url, os.environ.get("KUBE_TEST_TOKEN", "")) if url else embedded(controllers=True) as api:
        yield api


@dataclass(slots=True)
class Widgets:
    """A custom resource of the test's own, with a status."""

    group: str
    path: str
    definition: str

    def widget(self, name: str, spec: Obj | None = None, **more: object) -> Obj:
        obj: Obj = {"apiVersion": f"{self.group}/v1", "kind": "Widget", "metadata": {"name": name}, **more}
        if spec is not None:
            obj["spec"] = spec
        return obj


def config_map(name: str, data: dict[str, str] | None = None, **metadata: Any) -> Obj:
    obj: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}
    if data is not None:
        obj["data"] = data
    return obj


def crd(group: str, plural: str = "widgets", kind: str = "Widget", *, scope: str = "Namespaced", **version: Any) -> Obj:
    """A CRD with one version; ``version`` is laid over it."""
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer", "minimum": 0, "maximum": 10},
                    "color": {"type": "string", "default": "red"},
                    "replicas": {"type": "integer"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "parts": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
                        },
                    },
                },
            },
            "status": {
                "type": "object",
                "properties": {"phase": {"type": "string"}, "replicas": {"type": "integer"}},
            },
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "shortNames": [plural[:2]]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    **version,
                }
            ],
        },
    }


def _query(values: dict[str, Any]) -> dict[str, str]:
    return {
        name: ("true" if value else "false") if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if value is not None
    }
