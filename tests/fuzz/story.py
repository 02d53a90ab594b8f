"""What is played against servers: a story is a kind and steps, each one write to its only object.

Stories are data: the same one can be drawn from a seed, shrunk, stored in a file and played against any server. What a step
says is the same for each, but for an update: it edits what the server has, as clients do that read and write.
"""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

Obj = dict[str, Any]

NAME = "it"
"""Stands for the name of the object; each play gives it one of its own."""


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request. ``verb`` is create, update, apply, merge, json, strategic, delete; the last but three patch.

    ``body`` is an object, a patch, or for an update a list of edits: ``["set", path, value]`` or ``["unset", path]``, with a
    path of names and indexes into the object that the server has.
    """

    verb: str
    body: Any = None
    manager: str = ""
    force: bool = False
    dry: bool = False
    subresource: str = ""
    version: str = ""
    validation: str = ""


class Story(msgspec.Struct, frozen=True):
    """``kind`` names one of ``fuzz.kinds``."""

    kind: str
    steps: tuple[Step, ...]


def edited(obj: Obj, edits: list[list[Any]]) -> Obj:
    """A copy of ``obj`` with the edits; one that leads through something that is no container does nothing."""
    copied: Obj = msgspec.json.decode(msgspec.json.encode(obj))
    for what, path, *value in msgspec.json.decode(msgspec.json.encode(edits)):
        at: Any = copied
        for name, following in itertools.pairwise(path):
            at = _child(at, name, [] if isinstance(following, int) else {})
        last = path[-1]
        if what == "unset":
            if isinstance(at, dict):
                at.pop(last, None)
            elif isinstance(at, list) and isinstance(last, int) and last < len(at):
                del at[last]
        elif isinstance(at, dict) and isinstance(last, str):
            at[last] = value[0]
        elif isinstance(at, list) and isinstance(last, int):
            at[last : last + 1] = [value[0]]
    return copied


def _child(at: Any, name: Any, otherwise: Any) -> Any:
    if isinstance(at, dict) and isinstance(name, str):
        return at.setdefault(name, otherwise)
    if isinstance(at, list) and isinstance(name, int) and name < len(at):
        return at[name]
    return None
