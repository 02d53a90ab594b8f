"""A story from a seed: several managers write one object in every way that there is.

Most steps are applies: a manager takes what it applied before, or what somebody else did, and adds, changes or leaves something
out. Between them come updates, the three sorts of patches, writes to the status, deletions, and all of it as dry runs too.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final

import msgspec

from fuzz.kinds import KINDS, METADATA, Kind, shape_of
from fuzz.shapes import Leaf, ListOf, Map, Shape, Struct, Taste, draw, patch_of, places
from fuzz.story import NAME, Obj, Step, Story

MANAGERS: Final = ("alice", "bob", "carol", "kubectl")
_LENGTHS: Final = (4, 14)
# How often each kind comes; the custom ones have most to say about merging.
_WEIGHTS: Final = {"Gadget": 8, "Trinket": 3, "Deployment": 5, "Service": 4, "StatefulSet": 2}
_VERBS: Final = {"apply": 50, "update": 18, "merge": 8, "strategic": 8, "json": 8, "create": 1, "delete": 2}


def story(seed: int, kinds: Sequence[str] = (), *, plain: bool = False) -> Story:
    """``plain``: nothing in it is of a wrong type or unheard of."""
    rng = Random(f"ssa {seed}")  # noqa: S311 - for variety
    names = kinds or tuple(KINDS)
    kind = KINDS[rng.choices(names, [_WEIGHTS.get(name, 1) for name in names])[0]]
    return Story(kind.kind, tuple(_Author(rng, kind, plain=plain).steps()))


class _Author:
    def __init__(self, rng: Random, kind: Kind, *, plain: bool) -> None:
        self._rng = rng
        self._kind = kind
        self._shape = shape_of(kind)
        spice = rng.choice((0.0, 0.0, 0.0, 0.004, 0.02))
        self._taste = Taste(rng.choice((0.2, 0.35, 0.6)), 0.0 if plain else spice)
        self._applied: dict[tuple[str, str], Obj] = {}

    def steps(self) -> list[Step]:
        rng = self._rng
        first = rng.choices(("create", "apply"), (1, 3))[0]
        return [self._step(first, main=True)] + [
            self._step(rng.choices(tuple(_VERBS), tuple(_VERBS.values()))[0]) for _ in range(rng.randint(*_LENGTHS))
        ]

    def _step(self, verb: str, *, main: bool = False) -> Step:
        rng = self._rng
        manager = rng.choice(MANAGERS[:2] if rng.random() < 0.7 else MANAGERS)
        status = self._kind.status is not None and not main and verb not in ("create", "delete") and rng.random() < 0.2
        if verb == "strategic" and self._kind.custom:
            verb = "merge"
        return Step(
            verb,
            self._body(verb, manager, status=status),
            manager=manager if verb == "apply" or rng.random() < 0.8 else "",
            force=verb == "apply" and rng.random() < 0.3,
            dry=rng.random() < 0.06,
            subresource="status" if status else "",
            version=rng.choice(self._kind.versions) if self._kind.versions and rng.random() < 0.3 else "",
            validation=rng.choice(("Strict", "Ignore")) if rng.random() < 0.1 else "",
        )

    def _body(self, verb: str, manager: str, *, status: bool) -> Any:
        match verb:
            case "create":
                return self._object(draw(self._shape, self._rng, self._taste))
            case "apply":
                return self._configuration(manager, status=status)
            case "update":
                return self._edits(status=status)
            case "merge" | "strategic":
                shape = self._status() if status else self._shape
                return patch_of(
                    shape, self._rng, Taste(self._taste.fullness / 3, self._taste.spice), strategic=verb == "strategic"
                )
            case "json":
                return [self._operation(status=status) for _ in range(self._rng.randint(1, 3))]
        return None

    def _object(self, drawn: Any) -> Any:
        """With its name; the version is that of the path it is sent to."""
        if not isinstance(drawn, dict):
            return drawn
        metadata = drawn.get("metadata")
        if isinstance(metadata, dict):
            if self._kind.custom:
                # What is empty there is stored by a real server, and gone when it is read: the next write is one in any case.
                metadata = drawn["metadata"] = {name: part for name, part in metadata.items() if part not in ({}, [])}
            metadata["name"] = NAME
        return drawn

    def _status(self) -> Struct:
        fields: dict[str, Shape] = {"status": self._kind.status or Leaf(("x",))}
        if self._rng.random() < 0.2:
            fields["metadata"] = METADATA
        return Struct(fields)

    # Applying

    def _configuration(self, manager: str, *, status: bool) -> Any:
        rng = self._rng
        mine = (manager, "status" if status else "")
        theirs = [body for (_, where), body in self._applied.items() if where == mine[1]]
        known = (
            self._applied.get(mine) if rng.random() < 0.65 else rng.choice(theirs) if theirs and rng.random() < 0.6 else None
        )
        shape = self._status() if status else self._shape
        if known is None:
            body = draw(shape, rng, self._taste)
        else:
            body = msgspec.json.decode(msgspec.json.encode(known))
            for _ in range(rng.randint(0, 3)):
                body = self._varied(body, shape)
        body = self._object(body if not isinstance(body, dict) else {"metadata": {}, **body})
        if isinstance(body, dict):
            self._applied[mine] = body
        return body

    def _varied(self, value: Any, shape: Shape) -> Any:
        """``value`` with one thing added, changed or left out somewhere in it."""
        rng = self._rng
        if isinstance(value, dict) and isinstance(shape, Struct | Map):
            fields = shape.fields if isinstance(shape, Struct) else dict.fromkeys(shape.keys, shape.of)
            required = shape.required if isinstance(shape, Struct) else ()
            if not fields:
                return value
            name = rng.choice(tuple(fields))
            if name in value and rng.random() < 0.75 and isinstance(value[name], dict | list):
                return {**value, name: self._varied(value[name], fields[name])}
            if name in value and name not in required and rng.random() < 0.6:
                return {key: item for key, item in value.items() if key != name}
            return {**value, name: draw(fields[name], rng, self._taste)}
        if isinstance(value, list) and isinstance(shape, ListOf):
            choice = rng.random()
            if value and choice < 0.3:
                index = rng.randrange(len(value))
                return value[:index] + value[index + 1 :] if len(value) > shape.least else value
            if len(value) > 1 and choice < 0.45:
                return rng.sample(value, len(value))
            if value and choice < 0.7:
                index = rng.randrange(len(value))
                return [*value[:index], self._varied(value[index], shape.of), *value[index + 1 :]]
            fresh = draw(shape, rng, self._taste)
            if not isinstance(fresh, list):
                return fresh
            return _merged(shape, value, fresh)
        return draw(shape, rng, self._taste)

    # Updating

    def _edits(self, *, status: bool) -> list[list[Any]]:
        rng = self._rng
        shape = self._status() if status else self._shape
        edits: list[list[Any]] = []
        for _ in range(rng.randint(1, 4)):
            path, there = places(shape, rng)
            if rng.random() < 0.3:
                edits.append(["unset", path])
            else:
                edits.append(["set", path, draw(there, rng, self._taste)])
        if rng.random() < 0.15:
            edits.append(
                rng.choice(
                    (
                        ["set", ["metadata", "managedFields"], []],
                        ["set", ["metadata", "managedFields"], [{}]],
                        ["unset", ["metadata", "managedFields"]],
                        ["set", ["metadata", "managedFields", 0, "manager"], rng.choice(MANAGERS)],
                        ["set", ["metadata", "managedFields", 0, "operation"], "Apply"],
                        ["unset", ["metadata", "managedFields", 0]],
                        ["unset", ["metadata", "resourceVersion"]],
                        ["set", ["metadata", "resourceVersion"], "1"],
                        ["set", ["metadata", "uid"], "x"],
                        ["unset", ["metadata", "uid"]],
                        ["set", ["metadata", "generation"], 9],
                        ["unset", ["metadata", "creationTimestamp"]],
                    )
                )
            )
        return edits

    def _operation(self, *, status: bool) -> Obj:
        rng = self._rng
        path, there = places(self._status() if status else self._shape, rng)
        pointer = "".join(f"/{str(name).replace('~', '~0').replace('/', '~1')}" for name in path)
        if isinstance(path[-1], int) and rng.random() < 0.3:
            pointer = pointer.rpartition("/")[0] + "/-"
        what = rng.choices(("add", "replace", "remove", "test", "copy", "move"), (8, 4, 3, 1, 1, 1))[0]
        operation: Obj = {"op": what, "path": pointer}
        if what in ("add", "replace", "test"):
            operation["value"] = draw(there, rng, self._taste)
        if what in ("copy", "move"):
            source, _ = places(self._shape, rng)
            operation["from"] = "".join(f"/{str(name).replace('/', '~1')}" for name in source)
        return operation


def _merged(shape: ListOf, value: list[Any], fresh: list[Any]) -> list[Any]:
    """Both, without items of the same key."""

    def key(item: Any) -> Any:
        return item if not shape.keys or not isinstance(item, dict) else [item.get(name) for name in shape.keys]

    if not shape.keys and not shape.unique:
        return (value + fresh)[: shape.most]
    known = [key(item) for item in value]
    return value + [item for item in fresh if key(item) not in known]
