"""Where two answers differ, and what of it is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from fuzz.play import Answer
from fuzz.story import Story


class Difference(NamedTuple):
    """``where`` is a path into the answer; an absent value is None."""

    where: str
    ours: Any
    real: Any


class Finding(NamedTuple):
    """The first step at which the answers to a story differ; what comes after may be of its making."""

    story: Story
    step: int
    differences: tuple[Difference, ...]
    ours: tuple[Answer, ...]
    real: tuple[Answer, ...]

    @property
    def signature(self) -> str:
        """What findings of the same cause have in common, more or less."""
        step = self.story.steps[self.step]
        codes = f"{self.ours[self.step].code}/{self.real[self.step].code}"
        places = sorted({_generic(difference.where) for difference in self.differences})
        return f"{step.verb}{'/status' if step.subresource else ''} {self.story.kind} {codes} {' '.join(places[:4])}"


def _generic(where: str) -> str:
    return ".".join(part for part in where.split(".") if not part.isdigit())[:90]


def differences(ours: Any, real: Any, where: str = "") -> Iterator[Difference]:
    if isinstance(ours, dict) and isinstance(real, dict):
        for name in ours.keys() | real.keys():
            if name not in ours or name not in real:
                yield Difference(f"{where}.{name}", ours.get(name), real.get(name))
            else:
                yield from differences(ours[name], real[name], f"{where}.{name}")
    elif isinstance(ours, list) and isinstance(real, list) and len(ours) == len(real):
        for index, (left, right) in enumerate(zip(ours, real, strict=True)):
            yield from differences(left, right, f"{where}.{index}")
    elif type(ours) is not type(real) or ours != real:
        yield Difference(where, ours, real)


def finding(story: Story, ours: Sequence[Answer], real: Sequence[Answer]) -> Finding | None:
    """The first difference; nothing when there is none."""
    for index, (left, right) in enumerate(zip(ours, real, strict=True)):
        found = tuple(sorted(differences(msgspec.to_builtins(left), msgspec.to_builtins(right)), key=lambda each: each.where))
        if found:
            return Finding(story, index, found, tuple(ours), tuple(real))
    return None
