"""Requests and responses without a transport, so that the server can be called over sockets and in-process alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    """What else is known, by name; nothing here depends on it."""


@dataclass(slots=True)
class Request:
    """One request. Header names are lower case; ``query`` holds the last value of each name, ``headers`` that of each header.
    ``user`` is set when the transport has already found out who it is (a client certificate), ``address`` is where it comes
    from, ``acting_as`` holds every ``Impersonate-`` header, since there may be several of a name."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: User | None = None
    address: str = ""
    acting_as: Sequence[tuple[str, str]] = ()
    uri: str = ""
    """Path and query as they were sent."""
    warnings: list[str] = field(default_factory=list)
    """What is to be said to the user with the answer, whatever that is."""

    def flag(self, name: str) -> bool:
        """Whether a parameter is given and does not say no, which is how Kubernetes reads them."""
        return self.query.get(name, "false").lower() not in ("false", "0")


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
