"""What the API server was asked for, read from its audit log: the honest way to count requests, and who sent them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

WRITES = frozenset(("create", "update", "patch", "delete", "deletecollection"))


class _Reference(msgspec.Struct, rename="camel"):
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class _Status(msgspec.Struct):
    code: int = 0


class _Event(msgspec.Struct, rename="camel"):
    verb: str
    stage: str
    user_agent: str = ""
    object_ref: _Reference | None = None
    response_status: _Status | None = None


class Asked(NamedTuple):
    """One request that was answered."""

    agent: str
    verb: str
    resource: str
    """With its subresource, such as ``packages/status``."""
    namespace: str
    name: str
    code: int

    @property
    def is_write(self) -> bool:
        return self.verb in WRITES


class AuditLog:
    """Requests since this was made, or since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._decoder = msgspec.json.Decoder(_Event)

    def read(self) -> list[Asked]:
        """What was answered since the last look.."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            content = file.read()
        whole = content.rpartition(b"\n")[0]
        self._position += len(whole) + 1 if whole else 0
        return list(self._requests(whole))

    def _requests(self, content: bytes) -> Iterator[Asked]:
        for line in content.splitlines():
            event = self._decoder.decode(line)
            # A watch is answered when it begins and again when it ends.
            if event.stage != ("ResponseStarted" if event.verb == "watch" else "ResponseComplete"):
                continue
            about = event.object_ref or _Reference()
            resource = f"{about.resource}/{about.subresource}" if about.subresource else about.resource
            code = event.response_status.code if event.response_status else 0
            agent = event.user_agent.partition("/")[0]
            yield Asked(agent, event.verb, resource, about.namespace, about.name, code)


def counted(requests: list[Asked]) -> Counter[tuple[str, str]]:
    """How many, by verb and resource."""
    return Counter((request.verb, request.resource) for request in requests)
