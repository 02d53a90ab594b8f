"""Rules: what they allow, and whether one set of rules gives everything that another does.

Pure: a rule is compiled once from the JSON of a role, and asked often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cozystack.apiserver.http.messages import User
from cozystack.apiserver.rbac.quoting import quoted, quoted_list

ALL = "*"


class Attributes(NamedTuple):
    """What somebody wants to do: a verb on a resource, or on a ``path`` that is none."""

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    """Set when this is not about a resource."""


class Rule:
    """One rule of a role. An empty ``names`` stands for every name."""

    __slots__ = ("groups", "names", "paths", "resources", "verbs")

    def __init__(
        self,
        verbs: Iterable[str],
        groups: Iterable[str] = (),
        resources: Iterable[str] = (),
        names: Iterable[str] = (),
        paths: Iterable[str] = (),
    ) -> None:
        self.verbs = tuple(verbs)
        self.groups = tuple(groups)
        self.resources = tuple(resources)
        self.names = tuple(names)
        self.paths = tuple(paths)

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> Rule:
        """From the JSON of a ``PolicyRule``."""
        return cls(*(rule.get(key) or () for key in ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rule) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash((self.verbs, self.groups, self.resources, self.names, self.paths))

    def __repr__(self) -> str:
        return f"Rule{self}"

    def __str__(self) -> str:
        """As Kubernetes shows it when it refuses to give it away."""
        shown = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.paths),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{name}:{quoted_list(values)}" for name, values in shown if values) + "}"

    def allows(self, asked: Attributes) -> bool:
        if asked.verb not in self.verbs and ALL not in self.verbs:
            return False
        if asked.path:
            return any(_path_covers(path, asked.path) for path in self.paths)
        if asked.group not in self.groups and ALL not in self.groups:
            return False
        if self.names and asked.name not in self.names:
            return False
        resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        return self._has_resource(resource)

    def covers(self, small: Rule) -> bool:
        """Whether this rule gives all that ``small`` does, which has at most one of everything."""
        if any(verb not in self.verbs for verb in small.verbs) and ALL not in self.verbs:
            return False
        if any(group not in self.groups for group in small.groups) and ALL not in self.groups:
            return False
        if self.names and (not small.names or any(name not in self.names for name in small.names)):
            return False
        if any(not any(_path_covers(mine, path) for mine in self.paths) for path in small.paths):
            return False
        return all(self._has_resource(resource) for resource in small.resources)

    def _has_resource(self, resource: str) -> bool:
        """``resource``, with its subresource if there is one; the subresources of everything are ``*/NAME``."""
        if resource in self.resources or ALL in self.resources:
            return True
        _, slash, subresource = resource.partition("/")
        return bool(slash) and f"{ALL}/{subresource}" in self.resources

    def smallest(self) -> list[Rule]:
        """Rules of one verb and one resource (or path) each, which together are this one."""
        found = [
            Rule((verb,), (group,), (resource,), (name,) if name else ())
            for group in self.groups
            for resource in self.resources
            for verb in self.verbs
            for name in (self.names or ("",))
        ]
        return found + [Rule((verb,), paths=(path,)) for path in self.paths for verb in self.verbs]


EVERYTHING = (Rule((ALL,), (ALL,), (ALL,)), Rule((ALL,), paths=(ALL,)))


def missing(held: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """What of ``wanted`` is not in ``held``; rules for the same resource are put together."""
    lacking = [small for rule in wanted for small in rule.smallest() if not any(mine.covers(small) for mine in held)]
    verbs: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    others = []
    for rule in lacking:
        if rule.paths:
            others.append(rule)
        else:
            verbs.setdefault((rule.groups, rule.resources, rule.names), []).extend(rule.verbs)
    return others + [Rule(some, *place) for place, some in verbs.items()]


def refusal(user: User, lacking: Iterable[Rule]) -> str:
    """Why a role cannot be given away, in Kubernetes' words."""
    shown = "\n".join(sorted({str(rule) for rule in lacking}))
    return (
        f"user {quoted(user.name)} (groups={quoted_list(user.groups)}) is attempting to grant RBAC permissions "
        f"not currently held:\n{shown}"
    )


def _path_covers(mine: str, path: str) -> bool:
    return mine in (ALL, path) or (mine.endswith(ALL) and path.startswith(mine.rstrip(ALL)))
