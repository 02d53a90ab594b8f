"""Who may read what a program serves: the API server knows the token, and what its owner is allowed.

A TokenReview says whose a bearer token is, a SubjectAccessReview whether they may ``get`` the path (a rule on
``nonResourceURLs``). Answers are kept for a minute, by a digest of the token, and one caller is looked into at a time, so that
nobody can flood the API server through here. What cannot be found out is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from cozystack.api.resources import Resource, untyped
from cozystack.kube.client import Client
from cozystack.kube.clock import Clock
from cozystack.kube.errors import KubeError

KEPT = 60.0
"""Seconds that an answer holds."""
_REMEMBERED = 64
_TOKEN_REVIEWS: Resource[dict[str, Any]] = untyped(
    "authentication.k8s.io", "v1", "TokenReview", "tokenreviews", namespaced=False
)
_ACCESS_REVIEWS: Resource[dict[str, Any]] = untyped(
    "authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody may not: an HTTP status and a sentence."""

    status: int
    message: str


class Access:
    def __init__(self, client: Client, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._known: OrderedDict[tuple[bytes, str], tuple[float, Refusal | None]] = OrderedDict()

    async def refusal(self, authorization: str, path: str) -> Refusal | None:
        """Why the bearer of this ``Authorization`` header may not get ``path``; nothing when they may."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return Refusal(401, "a bearer token is needed")
        place = (hashlib.sha256(token.encode()).digest(), path)
        async with self._one_at_a_time:
            until, refusal = self._known.get(place, (0.0, None))
            if until > self._clock.monotonic():
                return refusal
            try:
                refusal = await self._ask(token, path)
            except KubeError:
                return Refusal(500, "the API server cannot be asked who this is")
            self._known[place] = (self._clock.monotonic() + KEPT, refusal)
            self._known.move_to_end(place)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            return refusal

    async def _ask(self, token: str, path: str) -> Refusal | None:
        found = await self._review(_TOKEN_REVIEWS, {"token": token})
        user = found.get("user") or {}
        if found.get("authenticated") is not True or not user.get("username"):
            return Refusal(401, "the token is not valid")
        asked = {"user": user["username"], "nonResourceAttributes": {"path": path, "verb": "get"}}
        asked |= {field: user[field] for field in ("uid", "groups", "extra") if user.get(field)}
        answer = await self._review(_ACCESS_REVIEWS, asked)
        if answer.get("allowed") is not True:
            return Refusal(403, f"{user['username']} may not get {path}")
        return None

    async def _review(self, resource: Resource[dict[str, Any]], spec: dict[str, Any]) -> dict[str, Any]:
        review = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {}, "spec": spec}
        answer: dict[str, Any] = (await self._client.create(resource, review)).get("status") or {}
        return answer
