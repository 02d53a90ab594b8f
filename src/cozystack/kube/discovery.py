"""Which resource serves a kind: asked of the server once per API version, and again when a kind is missing."""

from __future__ import annotations

from typing import Any

from cozystack.api.resources import Resource
from cozystack.kube.client import Client


class Discovery:
    """Caches answers; a kind that is not known is looked up again (a CRD may have come)."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def resource(self, api_version: str, kind: str) -> Resource[dict[str, Any]]:
        """The resource that serves ``kind``; raises ``UnknownKind``."""
        raise NotImplementedError

    def invalidate(self, api_version: str = "") -> None:
        """Forget what is known of one API version, or of all."""
        raise NotImplementedError
