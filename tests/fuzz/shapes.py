"""Shapes of values, and values drawn from them: small domains, so that managers often want the same thing.

``draw`` gives a value that a server takes, with a little ``spice``: null, the wrong type, an unknown field, an item twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

WRONG: tuple[Any, ...] = (None, None, None, {}, [], "", "x", 7, -1, True, 1.5, ["x"], {"x": "y"}, [None])


@dataclass(frozen=True, slots=True)
class Leaf:
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Map:
    keys: tuple[str, ...]
    of: Shape


@dataclass(frozen=True, slots=True)
class Struct:
    fields: dict[str, Shape] = field(default_factory=dict)
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListOf:
    """``keys``: names of fields by which items are told apart, or nothing. ``unique``: items themselves are."""

    of: Shape
    keys: tuple[str, ...] = ()
    unique: bool = False
    least: int = 0
    most: int = 3


Shape: TypeAlias = Leaf | Map | Struct | ListOf


@dataclass(frozen=True, slots=True)
class Taste:
    """How much of the optional is there, and how often something is wrong (both 0 to 1)."""

    fullness: float = 0.5
    spice: float = 0.0


def draw(shape: Shape, rng: Random, taste: Taste) -> Any:
    if taste.spice and rng.random() < taste.spice:
        return rng.choice(WRONG)
    match shape:
        case Leaf():
            return rng.choice(shape.values)
        case Map():
            return {key: draw(shape.of, rng, taste) for key in shape.keys if rng.random() < taste.fullness}
        case Struct():
            chosen = [name for name in shape.fields if name in shape.required or rng.random() < taste.fullness]
            rng.shuffle(chosen)
            drawn = {name: draw(shape.fields[name], rng, taste) for name in chosen}
            if taste.spice and rng.random() < taste.spice:
                drawn["unheardOf"] = rng.choice(WRONG)
            return drawn
        case ListOf():
            items = [draw(shape.of, rng, taste) for _ in range(rng.randint(shape.least, shape.most))]
            return items if taste.spice and rng.random() < taste.spice * 2 else _once(shape, items)


def _once(shape: ListOf, items: list[Any]) -> list[Any]:
    """Without items of a key that was there before."""
    if not shape.keys and not shape.unique:
        return items
    seen: list[Any] = []
    kept = []
    for item in items:
        key = item if shape.unique or not isinstance(item, dict) else [item.get(name) for name in shape.keys]
        if key not in seen:
            seen.append(key)
            kept.append(item)
    return kept


def patch_of(shape: Shape, rng: Random, taste: Taste, *, strategic: bool = False) -> Any:
    """A merge patch: parts of the shape, nulls where something shall go; a strategic one has its directives too."""
    match shape:
        case Map():
            return {
                key: None if rng.random() < 0.3 else patch_of(shape.of, rng, taste, strategic=strategic)
                for key in shape.keys
                if rng.random() < taste.fullness
            }
        case Struct():
            if strategic and rng.random() < 0.05:
                return {"$patch": rng.choice(("replace", "delete"))} | draw(shape, rng, taste)
            return {
                name: None if rng.random() < 0.15 else patch_of(child, rng, taste, strategic=strategic)
                for name, child in shape.fields.items()
                if rng.random() < taste.fullness
            }
        case ListOf() if strategic and shape.keys:
            return _strategic_items(shape, rng, taste)
        case ListOf() if strategic and shape.unique and rng.random() < 0.5:
            return draw(shape, rng, taste)
    return draw(shape, rng, taste)


def _strategic_items(shape: ListOf, rng: Random, taste: Taste) -> list[Any]:
    items = []
    for item in draw(shape, rng, taste) or ():
        if isinstance(item, dict) and isinstance(shape.of, Struct):
            key = {name: item[name] for name in shape.keys if name in item}
            if rng.random() < 0.25:
                item = {"$patch": "delete", **key}
            else:
                part = patch_of(shape.of, rng, taste, strategic=True)
                item = {**part, **key} if isinstance(part, dict) else item
        items.append(item)
    if rng.random() < 0.1:
        items.append({"$patch": "replace"})
    return items


def places(shape: Shape, rng: Random) -> tuple[list[Any], Shape]:
    """A way into a value of the shape, as names and indexes, and what is there. It does not end at an item that has a key."""
    path: list[Any] = []
    while True:
        choices = list(_steps(shape, rng))
        at_item = path and isinstance(path[-1], int) and isinstance(shape, Struct)
        if not choices or (path and not at_item and rng.random() < 0.35):
            return path, shape
        name, shape = rng.choice(choices)
        path.append(name)


def _steps(shape: Shape, rng: Random) -> Iterator[tuple[Any, Shape]]:
    match shape:
        case Map():
            yield from ((key, shape.of) for key in shape.keys)
        case Struct():
            yield from shape.fields.items()
        case ListOf() if not shape.unique and not shape.keys:
            yield rng.randint(0, 2), shape.of
        case ListOf(of=Struct() as item):
            # Into an item, but not over it: there would soon be two of a key.
            inside = Struct({name: field for name, field in item.fields.items() if name not in shape.keys})
            if inside.fields:
                yield rng.randint(0, 2), inside
