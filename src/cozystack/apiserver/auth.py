"""Who sends a request: static tokens, tokens of service accounts, client certificates (from the transport), or nobody known.

Tokens of service accounts are JSON Web Tokens signed with a key of the server (HMAC-SHA-256), bound to the account by its uid:
deleting the account ends them, and so does deleting the Pod or Secret that one was made for. A request without credentials is
anonymous; one with a wrong token is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from cozystack.apiserver.http.messages import Request, User
from cozystack.apiserver.storage import Storage

ISSUER: Final = "https://kubernetes.default.svc"
ACCOUNTS: Final = "/serviceaccounts"
AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
ANONYMOUS: Final = User("system:anonymous", (UNAUTHENTICATED,))
_ACCOUNT: Final = "system:serviceaccount:"
_ACCOUNTS_GROUP: Final = "system:serviceaccounts"
_EXTRA: Final = "authentication.kubernetes.io/"
NODE_NAME: Final = "authentication.kubernetes.io/node-name"
_REMEMBERED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Bound:
    """An object that a token lives as long as: ``kind`` is pod or secret (of the account's namespace), or node."""

    kind: str
    name: str
    uid: str


class Authenticator:
    """See the module. ``new_id`` names tokens."""

    def __init__(
        self,
        storage: Storage,
        *,
        key: bytes,
        clock: Callable[[], datetime],
        tokens: Mapping[str, User] | None = None,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._storage = storage
        self._key = key
        self._clock = clock
        self._new_id = new_id
        self._tokens = {token.encode(): _authenticated(user) for token, user in (tokens or {}).items()}
        self._read: dict[str, dict[str, Any]] = {}
        """Claims of tokens whose signature has been checked."""

    def user(self, request: Request) -> User | None:
        """The sender of a request; nothing when the credentials are wrong."""
        if request.user is not None:
            return request.user
        scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
        token = token.strip()
        return self.token_user(token) if scheme.lower() == "bearer" and token else ANONYMOUS

    def token_user(self, token: str, audiences: Sequence[str] = (ISSUER,)) -> User | None:
        """Whose token it is; nothing when it is none, or is meant for others than ``audiences``."""
        given = token.encode()
        for known, user in self._tokens.items():
            if secrets.compare_digest(known, given):
                return user
        claims = self._claims(token)
        if claims is None or not any(audience in audiences for audience in claims["aud"]):
            return None
        account = claims["kubernetes.io"]
        namespace, name, uid = account["namespace"], account["serviceaccount"]["name"], account["serviceaccount"]["uid"]
        if not self._is_there(ACCOUNTS, namespace, name, uid):
            return None
        extra = {f"{_EXTRA}credential-id": (f"JTI={claims['jti']}",)} if "jti" in claims else {}
        for kind, resource, place in (("pod", "/pods", namespace), ("secret", "/secrets", namespace), ("node", "/nodes", "")):
            bound = account.get(kind)
            if bound is None:
                continue
            if not self._is_there(resource, place, bound["name"], bound["uid"]):
                return None
            if kind != "secret":
                extra |= {f"{_EXTRA}{kind}-name": (bound["name"],), f"{_EXTRA}{kind}-uid": (bound["uid"],)}
        return replace(account_user(namespace, name, uid), extra=extra)

    def issue(
        self,
        namespace: str,
        name: str,
        *,
        seconds: int = 3600 * 24 * 365,
        audiences: Sequence[str] = (ISSUER,),
        bound: Bound | None = None,
    ) -> tuple[str, datetime]:
        """A token for an existing service account and when it ends; raises ``KeyError`` when there is no such account."""
        stored = self._storage.get(ACCOUNTS, namespace, name)
        if stored is None:
            raise KeyError(f"{namespace}/{name}")
        now = int(self._clock().timestamp())
        account: dict[str, Any] = {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": stored.object["metadata"]["uid"]},
        }
        if bound is not None:
            account[bound.kind] = {"name": bound.name, "uid": bound.uid}
        claims = {
            "iss": ISSUER,
            "aud": list(audiences),
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "jti": self._new_id(),
            "sub": f"{_ACCOUNT}{namespace}:{name}",
            "kubernetes.io": account,
        }
        head = _segment({"alg": "HS256", "typ": "JWT"})
        body = f"{head}.{_segment(claims)}"
        return f"{body}.{self._signature(body)}", datetime.fromtimestamp(now + seconds, tz=self._clock().tzinfo)

    def _is_there(self, resource: str, namespace: str, name: str, uid: str) -> bool:
        stored = self._storage.get(resource, namespace, name)
        return stored is not None and bool(stored.object["metadata"]["uid"] == uid)

    def _claims(self, token: str) -> dict[str, Any] | None:
        """What a token of this server says, as long as it is valid."""
        claims = self._read.get(token)
        if claims is None:
            body, _, signature = token.rpartition(".")
            if body.count(".") != 1 or not hmac.compare_digest(self._signature(body).encode(), signature.encode()):
                return None
            claims = json.loads(base64.urlsafe_b64decode(_padded(body.partition(".")[2])))
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            self._read[token] = claims
        return claims if claims["exp"] > self._clock().timestamp() else None

    def _signature(self, body: str) -> str:
        digest = hmac.new(self._key, body.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def account_user(namespace: str, name: str, uid: str = "") -> User:
    return User(f"{_ACCOUNT}{namespace}:{name}", (*account_groups(namespace), AUTHENTICATED), uid)


def account_groups(namespace: str) -> tuple[str, str]:
    return _ACCOUNTS_GROUP, f"{_ACCOUNTS_GROUP}:{namespace}"


def account_of(user: str) -> tuple[str, str] | None:
    """Namespace and name of the service account that a user name is that of."""
    namespace, _, name = user.removeprefix(_ACCOUNT).partition(":")
    return (namespace, name) if user.startswith(_ACCOUNT) and namespace and name and ":" not in name else None


def _authenticated(user: User) -> User:
    return user if AUTHENTICATED in user.groups else replace(user, groups=(*user.groups, AUTHENTICATED))


def _segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def _padded(text: str) -> bytes:
    return (text + "=" * (-len(text) % 4)).encode()
