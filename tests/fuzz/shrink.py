"""Make a story that shows a difference smaller while it goes on showing it: fewer steps, then less in each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from fuzz.compare import Finding
from fuzz.story import Step, Story

Compare = Callable[[Sequence[Story]], Awaitable[list[Finding | None]]]
_AT_ONCE = 40


async def shrunk(found: Finding, compare: Compare, *, rounds: int = 60) -> Finding:
    """The smallest story that could be found with a difference at the same place."""
    wanted = {_place(difference.where) for difference in found.differences}
    best = found._replace(story=Story(found.story.kind, found.story.steps[: found.step + 1]))
    skip = 0
    for _ in range(rounds):
        candidates = list(_smaller(best.story))[skip : skip + _AT_ONCE]
        if not candidates:
            break
        for index, result in enumerate(await compare(candidates)):
            if result is not None and wanted & {_place(difference.where) for difference in result.differences}:
                best = result._replace(story=Story(result.story.kind, result.story.steps[: result.step + 1]))
                skip = max(0, skip + index - 5)
                break
        else:
            skip += _AT_ONCE
    return best


def _place(where: str) -> str:
    return ".".join(part for part in where.split(".")[:5] if not part.isdigit())


def _smaller(story: Story) -> Iterator[Story]:
    """Each with one thing less, the coarsest first."""
    steps = story.steps
    for size in (4, 2, 1):
        if size < len(steps):
            for index in range(0, len(steps) - size, size):
                yield Story(story.kind, steps[:index] + steps[index + size :])
    for index, step in enumerate(steps):
        for less in _less(step):
            yield Story(story.kind, (*steps[:index], less, *steps[index + 1 :]))


def _less(step: Step) -> Iterator[Step]:
    parts = {"update": _fewer_edits, "json": _fewer_operations}.get(step.verb, _parts)
    for body in parts(step.body):
        yield replace(step, body=body)
    for change in ({"force": False}, {"dry": False}, {"version": ""}, {"validation": ""}):
        if any(getattr(step, name) != value for name, value in change.items()):
            yield replace(step, **change)


def _fewer_edits(edits: Any) -> Iterator[Any]:
    for index, edit in enumerate(edits):
        yield edits[:index] + edits[index + 1 :]
        if edit[0] == "set":
            for less in _parts(edit[2]):
                yield [*edits[:index], [*edit[:2], less], *edits[index + 1 :]]


def _fewer_operations(operations: Any) -> Iterator[Any]:
    for index, operation in enumerate(operations):
        yield operations[:index] + operations[index + 1 :]
        for less in _parts(operation.get("value")):
            yield [*operations[:index], {**operation, "value": less}, *operations[index + 1 :]]


def _parts(value: Any) -> Iterator[Any]:
    """``value`` without one of its parts, at every depth; what names things stays."""
    if isinstance(value, dict):
        for name in value:
            if name not in ("metadata", "name"):
                yield {key: item for key, item in value.items() if key != name}
        for name, item in value.items():
            for less in _parts(item):
                yield {**value, name: less}
    elif isinstance(value, list):
        for index in range(len(value)):
            yield value[:index] + value[index + 1 :]
        for index, item in enumerate(value):
            for less in _parts(item):
                yield [*value[:index], less, *value[index + 1 :]]
