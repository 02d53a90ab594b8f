"""What ``plan`` is told by name instead of by file: packages to add, other variants, values, components; as edits.

A Package that is there is changed by a JSON patch of what differs, as ``cozypkg set`` does. The patch is of one generation: a
status that moves on meanwhile is no reason to refuse a saved plan, a spec that does is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cozystack.api import yaml
from cozystack.api.cozystack import API_VERSION, Package, PackageSource
from cozystack.cozypkg.adding import new_package
from cozystack.cozypkg.documents import broken
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.planning import Edit
from cozystack.cozypkg.world import World
from cozystack.planner.closure import AS_DEPENDENCY, INSTALLED_AS_ANNOTATION, Step, closure
from cozystack.planner.overrides import EditError, Edits, edited, json_patch, parse_path
from cozystack.planner.sentences import did_you_mean


@dataclass(frozen=True, slots=True)
class Changes:
    """As they are given on the command line of `plan`; ``NAME:COMPONENT.PATH=VALUE`` is one value of a Package."""

    added: Sequence[str] = ()
    variants: Sequence[str] = ()
    assigned: Sequence[str] = ()
    dropped: Sequence[str] = ()
    enabled: Sequence[str] = ()
    disabled: Sequence[str] = ()


@dataclass(slots=True)
class _Wanted:
    """What is wanted of one Package."""

    asked: bool = False
    variant: str = ""
    assigned: list[tuple[str, str]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    enabled: list[str] = field(default_factory=list)
    disabled: list[str] = field(default_factory=list)


def edits_for(changes: Changes, world: World) -> list[Edit]:
    """Every Package that is added or changed, with all that it needs then; raises ``CommandError`` when that cannot be."""
    wanted = _wanted(changes)
    variants = {name: each.variant for name, each in wanted.items() if each.variant}
    roots = [name for name, each in wanted.items() if each.asked or (each.variant and name in world.packages)]
    found: tuple[Step, ...] = ()
    if roots:
        result = closure(world.catalogue(), roots, variants, update=True)
        if result.blocking:
            raise CommandError("; ".join(obstacle.sentence for obstacle in result.blocking))
        found = result.steps
    edits: list[Edit] = []
    for step in found:
        want = wanted.pop(step.name, _Wanted())
        there = world.packages.get(step.name)
        edits += _added(step, want, world) if there is None else _changed(there, want, world)
    for name, want in wanted.items():
        there = world.packages.get(name)
        if there is None:
            hint = f"; --add {name} installs it" if name in world.sources else did_you_mean(name, world.packages)
            raise CommandError(f"Package {name} is not installed{hint}")
        edits += _changed(there, want, world)
    return edits


def _wanted(changes: Changes) -> dict[str, _Wanted]:
    wanted: dict[str, _Wanted] = {}

    def of(name: str) -> _Wanted:
        return wanted.setdefault(name, _Wanted())

    for text in changes.added:
        name, equals, variant = text.partition("=")
        if not name or (equals and not variant):
            raise CommandError(f'--add is NAME or NAME=VARIANT, not "{text}"')
        of(name).asked = True
        _choose(of(name), name, variant)
    for text in changes.variants:
        name, _, variant = text.partition("=")
        if not name or not variant:
            raise CommandError(f'--variant of a package is NAME=VARIANT, not "{text}"')
        _choose(of(name), name, variant)
    for text in changes.assigned:
        path, equals, value = text.partition("=")
        if not equals:
            raise CommandError(f'--set is NAME:COMPONENT.PATH=VALUE, not "{text}"')
        name, rest = _split(path, "--set is NAME:COMPONENT.PATH=VALUE", text)
        of(name).assigned.append((rest, value))
    for text in changes.dropped:
        name, rest = _split(text, "--unset is NAME:COMPONENT.PATH", text)
        of(name).dropped.append(rest)
    for text in changes.enabled:
        name, rest = _split(text, "--enable is NAME:COMPONENT", text)
        of(name).enabled.append(rest)
    for text in changes.disabled:
        name, rest = _split(text, "--disable is NAME:COMPONENT", text)
        of(name).disabled.append(rest)
    return wanted


def _choose(want: _Wanted, name: str, variant: str) -> None:
    if variant and want.variant not in ("", variant):
        raise CommandError(f"two variants are asked for {name}: {want.variant} and {variant}")
    want.variant = variant or want.variant


def _split(text: str, form: str, given: str) -> tuple[str, str]:
    name, colon, rest = text.partition(":")
    if not colon or not name or not rest:
        raise CommandError(f'{form}, not "{given}"')
    return name, rest


def _added(step: Step, want: _Wanted, world: World) -> Iterable[Edit]:
    value = new_package(step)
    package = msgspec.convert(value, Package)
    want.variant = ""
    yield Edit("apply", "Package", step.name, {**value, "spec": _spec(package, want, world.sources.get(step.name))})


def _changed(there: Package, want: _Wanted, world: World) -> Iterable[Edit]:
    name, meta = there.metadata.name, there.metadata
    old: dict[str, Any] = msgspec.to_builtins(there.spec)
    spec = _spec(there, want, world.sources.get(name))
    # The first operation is for an object of one resource version; a plan is for one generation.
    operations = json_patch(old, spec, meta.resource_version)[1:]
    annotations = dict(meta.annotations)
    if want.asked and annotations.get(INSTALLED_AS_ANNOTATION) == AS_DEPENDENCY:
        del annotations[INSTALLED_AS_ANNOTATION]
        operations.append({"op": "remove", "path": f"/metadata/annotations/{INSTALLED_AS_ANNOTATION.replace('/', '~1')}"})
    if not operations:
        return
    metadata = {"name": name, **({"annotations": annotations} if annotations else {})}
    value = {"apiVersion": API_VERSION, "kind": "Package", "metadata": metadata, "spec": spec}
    guard = {"op": "test", "path": "/metadata/generation", "value": meta.generation}
    yield Edit("patch", "Package", name, value, meta.uid, (guard, *operations))


def _spec(package: Package, want: _Wanted, source: PackageSource | None) -> dict[str, Any]:
    try:
        variant = want.variant or package.variant
        components = [
            component.name
            for each in (source.spec.variants if source is not None else ())
            if each.name == variant
            for component in each.components
        ]
        assigned = tuple((*parse_path(path, components), _value(path, value)) for path, value in want.assigned)
        dropped = tuple(parse_path(path, components) for path in want.dropped)
        edits = Edits(
            variant=want.variant if want.variant != package.variant else "",
            assigned=assigned,
            dropped=dropped,
            enabled=tuple(want.enabled),
            disabled=tuple(want.disabled),
        )
        return edited(package, source, edits)
    except EditError as error:
        raise CommandError(str(error)) from error


def _value(path: str, text: str) -> Any:
    try:
        return yaml.load(text, source=f"the value of {path}") if text else ""
    except yaml.YamlError as error:
        raise broken(error) from error
