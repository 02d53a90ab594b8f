"""Requests and responses without a transport, so that the server can be called over sockets and in-process alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

JSON_TYPE = "application/json"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class User:
    """Who sent a request."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


@dataclass(slots=True)
class Request:
    """One request. Header names are lower case; ``query`` holds the last value of each name. ``user`` is set when the
    transport has already found out who it is (a client certificate)."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: User | None = None

    def flag(self, name: str) -> bool:
        return self.query.get(name, "") in ("true", "1")


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """What the client shall tell its user; each is a ``Warning`` header of its own."""


@dataclass(slots=True)
class Stream:
    """An answer whose body comes bit by bit; ``close`` is called when nobody reads any more."""

    chunks: AsyncIterator[bytes]
    status: int = 200
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(status, _encode(value), headers=headers or {})
