"""Who sends a request: static tokens, tokens of service accounts, client certificates (from the transport).

Tokens of service accounts are JSON Web Tokens signed with a key of the server (HMAC-SHA-256), bound to the account by its uid:
deleting the account ends them. There is no authorization yet: whoever is known may do everything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from cozystack.apiserver.http.messages import Request, User
from cozystack.apiserver.storage import Storage

ISSUER = "https://kubernetes.default.svc"
ACCOUNTS = "/serviceaccounts"


class Authenticator:
    def __init__(
        self, storage: Storage, *, key: bytes, clock: Callable[[], datetime], tokens: Mapping[str, User] | None = None
    ) -> None:
        self._storage = storage
        self._key = key
        self._clock = clock
        self._tokens = dict(tokens or {})

    def user(self, request: Request) -> User | None:
        """The sender of a request, or nothing when it is not known."""
        if request.user is not None:
            return request.user
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self.token_user(token.strip()) if scheme.lower() == "bearer" and token else None

    def token_user(self, token: str) -> User | None:
        for known, user in self._tokens.items():
            if secrets.compare_digest(known.encode(), token.encode()):
                return user
        claims = self._claims(token)
        if claims is None:
            return None
        account = claims.get("kubernetes.io", {})
        namespace, name = account.get("namespace", ""), account.get("serviceaccount", {}).get("name", "")
        stored = self._storage.get(ACCOUNTS, namespace, name)
        if stored is None or stored.object["metadata"]["uid"] != account["serviceaccount"].get("uid"):
            return None
        return account_user(namespace, name, stored.object["metadata"]["uid"])

    def issue(self, namespace: str, name: str, *, seconds: int = 3600 * 24 * 365) -> tuple[str, datetime]:
        """A token for an existing service account and when it ends; raises ``KeyError`` when there is no such account."""
        stored = self._storage.get(ACCOUNTS, namespace, name)
        if stored is None:
            raise KeyError(f"{namespace}/{name}")
        now = int(self._clock().timestamp())
        claims = {
            "iss": ISSUER,
            "aud": [ISSUER],
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": stored.object["metadata"]["uid"]},
            },
        }
        head = _segment({"alg": "HS256", "typ": "JWT"})
        body = f"{head}.{_segment(claims)}"
        return f"{body}.{self._signature(body)}", datetime.fromtimestamp(now + seconds, tz=self._clock().tzinfo)

    def _claims(self, token: str) -> dict[str, Any] | None:
        body, _, signature = token.rpartition(".")
        if body.count(".") != 1 or not hmac.compare_digest(self._signature(body).encode(), signature.encode()):
            return None
        try:
            claims = json.loads(base64.urlsafe_b64decode(_padded(body.partition(".")[2])))
        except ValueError:
            return None
        if not isinstance(claims, dict) or claims.get("exp", 0) <= self._clock().timestamp():
            return None
        return claims

    def _signature(self, body: str) -> str:
        digest = hmac.new(self._key, body.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def account_user(namespace: str, name: str, uid: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid)


def _segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def _padded(text: str) -> bytes:
    return (text + "=" * (-len(text) % 4)).encode()
