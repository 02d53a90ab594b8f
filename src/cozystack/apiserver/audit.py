"""The audit log: who has asked for what, when, and what came of it, as one ``audit.k8s.io/v1`` Event a line.

At the level ``Metadata``: neither bodies nor headers are written, so nothing of a Secret or a token is, whatever it is asked
through. A stream has two events, when it begins and when it ends; everything else has one.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import msgspec

from cozystack.apiserver.http.messages import Request, Response, Stream, User
from cozystack.apiserver.http.requests import Asked
from cozystack.apiserver.rbac.reviews import identity

_encode = msgspec.json.Encoder().encode
_LONGEST_AGENT: Final = 1024


class Sink(Protocol):
    """Where events go."""

    def write(self, line: bytes) -> None:
        """Take one event, a line of JSON with its end."""

    def close(self) -> None: ...


class AuditFile:
    """A file that is begun anew when it has ``size`` bytes; ``kept`` older ones stay beside it, the youngest first."""

    def __init__(self, path: Path, *, size: int = 16 * 1024 * 1024, kept: int = 3) -> None:
        self._path = path
        self._size = size
        self._kept = kept
        path.parent.mkdir(parents=True, exist_ok=True)
        self._open()

    def write(self, line: bytes) -> None:
        if self._written and self._written + len(line) > self._size:
            self._file.close()
            for number in range(self._kept, 0, -1):
                older = self._numbered(number - 1)
                if older.exists():
                    older.replace(self._numbered(number))
            self._path.unlink(missing_ok=True)
            self._open()
        self._file.write(line)
        self._written += len(line)

    def close(self) -> None:
        self._file.close()

    def _open(self) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._file: BinaryIO = os.fdopen(handle, "ab", buffering=0)
        self._written = os.fstat(handle).st_size

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


class Audit:
    """Makes events of requests. ``new_id`` names them."""

    def __init__(
        self, sink: Sink, *, clock: Callable[[], datetime], new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    ) -> None:
        self._sink = sink
        self.clock = clock
        self._new_id = new_id

    def begin(self, request: Request) -> Record:
        """A request has come in."""
        return Record(self, self._new_id(), request, self.clock())

    def write(self, event: dict[str, Any]) -> None:
        self._sink.write(_encode(event) + b"\n")

    def close(self) -> None:
        self._sink.close()


class Record:
    """What is known of one request so far."""

    __slots__ = ("_audit", "_received", "_request", "acting_as", "asked", "id", "reason", "refused", "user")

    def __init__(self, audit: Audit, name: str, request: Request, received: datetime) -> None:
        self._audit = audit
        self._request = request
        self._received = received
        self.id = name
        self.asked: Asked | None = None
        self.user: User | None = None
        self.acting_as: User | None = None
        self.refused = False
        self.reason: str | None = None
        """Why it is allowed or refused; nothing when nobody has decided."""

    def answered(self, answer: Response | Stream) -> None:
        """The request has its answer; a stream goes on."""
        if isinstance(answer, Response):
            self._audit.write(self._event("ResponseComplete", answer.status, answer.body))
            return
        self._audit.write(self._event("ResponseStarted", answer.status, b""))
        close, answer.close = answer.close, lambda: None

        def closed() -> None:
            answer.close = lambda: None
            close()
            self._audit.write(self._event("ResponseComplete", answer.status, b""))

        answer.close = closed

    def _event(self, stage: str, code: int, body: bytes) -> dict[str, Any]:
        request = self._request
        event: dict[str, Any] = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": self.id,
            "stage": stage,
            "requestURI": request.uri or request.path,
            "verb": self.asked.verb if self.asked is not None else request.method.lower(),
            "user": identity(self.user) if self.user is not None else {},
        }
        if self.acting_as is not None:
            event["impersonatedUser"] = identity(self.acting_as)
        if request.address:
            event["sourceIPs"] = [request.address]
        if "user-agent" in request.headers:
            event["userAgent"] = request.headers["user-agent"][:_LONGEST_AGENT]
        if self.asked is not None and self.asked.resource:
            event["objectRef"] = _reference(self.asked)
        event["responseStatus"] = _status(code, body)
        event["requestReceivedTimestamp"] = _stamp(self._received)
        event["stageTimestamp"] = _stamp(self._audit.clock())
        if self.reason is not None:
            event["annotations"] = {
                "authorization.k8s.io/decision": "forbid" if self.refused else "allow",
                "authorization.k8s.io/reason": self.reason,
            }
        return event


def _reference(asked: Asked) -> dict[str, str]:
    parts = {
        "resource": asked.resource,
        "namespace": asked.namespace,
        "name": asked.name,
        "apiGroup": asked.group,
        "apiVersion": asked.version,
        "subresource": asked.subresource,
    }
    return {key: value for key, value in parts.items() if value}


def _status(code: int, body: bytes) -> dict[str, Any]:
    """The code, and why it is that one when the request has failed."""
    if code < 400:
        return {"metadata": {}, "code": code}
    try:
        status: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return {"metadata": {}, "code": code}
    kept = {key: status[key] for key in ("status", "message", "reason", "details") if key in status}
    return {"metadata": {}, **kept, "code": code}


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
