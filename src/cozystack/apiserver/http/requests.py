"""What a request asks for, read from its method and its path: the verb and the resource that authorization and audit speak of.

Nothing is looked up: a path may name a resource that does not exist, and is then refused to those who could not see it anyway.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from cozystack.apiserver.http.messages import Request, User
from cozystack.apiserver.rbac.rules import Attributes

_VERBS: Final = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OF_NAMESPACES: Final = ("status", "finalize")


class Asked(NamedTuple):
    """What is asked for. ``resource`` is empty when the path is not that of a resource; ``parts`` are those of the path."""

    verb: str
    path: str
    parts: list[str]
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    """That in the path, or the one that a field selector asks for."""
    subresource: str = ""
    place: str = ""
    """The namespace that the resource is in: that of a namespace is itself for authorization, and none in truth."""
    target: str = ""
    """The name in the path."""
    beyond: bool = False
    """Whether the path goes on behind the subresource."""

    def attributes(self, user: User) -> Attributes:
        if not self.resource:
            return Attributes(user, self.verb, path=self.path)
        return Attributes(user, self.verb, self.group, self.resource, self.subresource, self.namespace, self.name)


def asked(request: Request) -> Asked:
    path = request.path
    trimmed = path.strip("/")
    parts = trimmed.split("/") if trimmed else []
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return Asked(request.method.lower(), path, parts)
    verb = _VERBS.get(request.method, "")
    namespace = place = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        # /namespaces/NAME alone is the namespace itself; with more behind it, the scope of a resource.
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _OF_NAMESPACES:
            place, rest = namespace, rest[2:]
    target = name = rest[1] if len(rest) > 1 else ""
    if not name:
        if verb == "get":
            verb = "watch" if request.flag("watch") else "list"
            name = _named(request.query.get("fieldSelector", ""))
        elif verb == "delete":
            verb = "deletecollection"
    subresource = rest[2] if len(rest) > 2 else ""
    return Asked(verb, path, parts, group, version, namespace, rest[0], name, subresource, place, target, len(rest) > 3)


def _named(selector: str) -> str:
    """The one name that a field selector admits."""
    for term in selector.split(","):
        if term.startswith("metadata.name=") and "!" not in term:
            return term.partition("=")[2].lstrip("=")
    return ""
