"""A server that has the roles of a new cluster, and requests in the name of others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from cozystack.apiserver.lifecycle import Lifecycle
from cozystack.apiserver.objects import Objects
from cozystack.apiserver.rbac import bootstrap
from cozystack.apiserver.storage import open_storage
from support.apiserver import Answer, Api, embedded, server_under_test

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"


@contextlib.asynccontextmanager
async def secured(**options: Any) -> AsyncIterator[Api]:
    """The server that the environment names, or an embedded one with the roles that every cluster begins with."""
    if os.environ.get("KUBE_TEST_URL"):
        async with server_under_test() as api:
            yield api
        return
    storage = open_storage(None)
    objects = Objects(storage)
    Lifecycle(objects).start()
    bootstrap(objects)
    async with embedded(storage, controllers=True, objects=objects, **options) as api:
        yield api


class Person:
    """Requests as somebody else: the administrator impersonates them."""

    def __init__(self, api: Api, name: str, *groups: str) -> None:
        self._api = api
        self.name = name
        self.groups = groups

    async def request(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        headers = {"Impersonate-User": self.name, **more.pop("headers", {})}
        if self.groups:
            headers["Impersonate-Group"] = self.groups[0]
        return await self._api.request(method, path, body, headers=headers, **more)

    async def get(self, path: str, **query: Any) -> Answer:
        return await self.request("GET", path, **query)

    async def create(self, path: str, obj: Any, **query: Any) -> Answer:
        return await self.request("POST", path, obj, **query)


def rule(verbs: str, group: str, resources: str, *names: str) -> dict[str, Any]:
    found: dict[str, Any] = {"apiGroups": [group], "resources": resources.split(","), "verbs": verbs.split(",")}
    if names:
        found["resourceNames"] = list(names)
    return found


def role(name: str, *rules: dict[str, Any], kind: str = "Role", **more: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name}, "rules": list(rules), **more}


def binding(name: str, to: str, *users: str, kind: str = "RoleBinding", role_kind: str = "Role") -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": to},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": user} for user in users],
    }
