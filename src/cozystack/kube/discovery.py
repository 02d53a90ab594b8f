"""Which resource serves a kind: asked of the server once per API version, and again when a kind is missing."""

from __future__ import annotations

import asyncio
from typing import Any

from cozystack.api.resources import Resource, untyped
from cozystack.kube.client import Client
from cozystack.kube.errors import DecodeError, NotFound, UnknownKind


class Discovery:
    """Caches answers; a kind that is not known is looked up again (a CRD may have come)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kinds: dict[str, dict[str, Resource[dict[str, Any]]]] = {}
        self._loading = asyncio.Lock()

    async def resource(self, api_version: str, kind: str) -> Resource[dict[str, Any]]:
        """The resource that serves ``kind``; raises ``UnknownKind``."""
        known = self._kinds.get(api_version, {}).get(kind)
        if known is not None:
            return known
        async with self._loading:
            loaded = self._kinds[api_version] = await self._load(api_version)
        if kind not in loaded:
            raise UnknownKind(api_version, kind)
        return loaded[kind]

    def invalidate(self, api_version: str = "") -> None:
        """Forget what is known of one API version, or of all."""
        if api_version:
            self._kinds.pop(api_version, None)
        else:
            self._kinds.clear()

    async def _load(self, api_version: str) -> dict[str, Resource[dict[str, Any]]]:
        group, _, version = api_version.rpartition("/")
        path = f"/apis/{api_version}" if group else f"/api/{version}"
        try:
            answer = await self._client.request_json(path)
        except NotFound:
            return {}
        try:
            return {
                each["kind"]: untyped(group, version, each["kind"], each["name"], namespaced=each["namespaced"])
                for each in answer.get("resources") or ()
                if "/" not in each["name"]
            }
        except (AttributeError, KeyError, TypeError) as error:
            raise DecodeError(f"GET {path}: not a list of resources") from error
