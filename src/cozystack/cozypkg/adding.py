"""From what is to be added to what is to be written: one plan over all arguments and files (specification, cozypkg 7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from cozystack.api.cozystack import API_VERSION, Package, PackageSource
from cozystack.cozypkg.documents import Found, read_all
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.output import Column, table_lines
from cozystack.cozypkg.prompts import choose
from cozystack.cozypkg.session import MANAGER, Session
from cozystack.cozypkg.world import World, read_cluster, read_files
from cozystack.cozypkg.writing import Write, sentences
from cozystack.planner.catalogue import Catalogue
from cozystack.planner.closure import AS_DEPENDENCY, INSTALLED_AS_ANNOTATION, Closure, Step, closure

Verb = Literal["create", "update", "mark", "none"]


@dataclass(slots=True)
class Request:
    """What is asked for on the command line; see the options of ``cozypkg add``."""

    roots: list[str] = field(default_factory=list)
    variants: dict[str, str] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    default_variants: bool = False
    all_variants: bool = False
    no_deps: bool = False
    update: bool = False
    ask: bool = False

    @property
    def packages(self) -> dict[str, Found]:
        return {each.object.metadata.name: each for each in self.found if isinstance(each.object, Package)}

    @property
    def sources(self) -> dict[str, Found]:
        return {each.object.metadata.name: each for each in self.found if isinstance(each.object, PackageSource)}


@dataclass(frozen=True, slots=True)
class Action:
    step: Step
    verb: Verb
    value: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    exact: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Plan:
    """``sources`` are the PackageSources of files, by name and what happens to them."""

    actions: list[Action]
    sources: list[tuple[str, Verb, Mapping[str, Any]]]
    warnings: list[str]
    versions: dict[str, str]

    @property
    def empty(self) -> bool:
        return all(action.verb == "none" for action in self.actions) and all(verb == "none" for _, verb, _ in self.sources)

    def writes(self) -> list[Write]:
        found = [
            Write("PackageSource", name, "apply", value, "Added" if verb == "create" else "Updated")
            for name, verb, value in self.sources
            if verb != "none"
        ]
        new = {write.name for write in found}
        for action in self.actions:
            name = action.step.name
            match action.verb:
                case "create":
                    found.append(Write("Package", name, "apply", action.value, "Added", rehearse=name not in new))
                case "update":
                    how: Literal["apply", "merge"] = "apply" if "apiVersion" in action.value else "merge"
                    version = self.versions.get(name, "") if how == "merge" else ""
                    found.append(Write("Package", name, how, action.value, "Updated", version, action.exact, name not in new))
                case "mark":
                    found.append(Write("Package", name, "merge", action.value, "Keeping", self.versions.get(name, "")))
                case "none":
                    pass
        return found

    def as_json(self, *, written: bool) -> dict[str, Any]:
        return {
            "written": written,
            "sources": [{"name": name, "action": verb} for name, verb, _ in self.sources],
            "packages": [
                {
                    "name": action.step.name,
                    "variant": action.step.variant,
                    "why": action.step.why,
                    "action": action.verb,
                    "asked": action.step.asked,
                    "requiredBy": list(action.step.required_by),
                }
                for action in self.actions
            ],
            "warnings": self.warnings,
        }

    def table(self, width: int | None) -> list[str]:
        rows = [("apply", name, "", "PackageSource of a file", "") for name, verb, _ in self.sources if verb != "none"]
        rows += [
            (
                "keep" if action.verb in ("none", "mark") else action.verb,
                action.step.name,
                action.step.variant,
                _WHY[action.step.why],
                action.note or (f"needed by {', '.join(action.step.required_by)}" if not action.step.asked else "asked for"),
            )
            for action in self.actions
        ]
        return table_lines(_COLUMNS, rows, available=width)


_COLUMNS = (Column("ACTION"), Column("NAME"), Column("VARIANT"), Column("CHOSEN"), Column("BECAUSE", shrinks=True))
_WHY = {
    "asked": "as asked",
    "only": "the only one",
    "default": "by default",
    "first": "the first",
    "installed": "installed",
    "": "",
}


def read_request(session: Session, names: Iterable[str], variants: Iterable[str], files: Iterable[str]) -> Request:
    """Names, ``NAME=VARIANT`` and files; raises ``CommandError`` for what contradicts itself."""
    request = Request()
    for text in names:
        name, equals, variant = text.partition("=")
        request.roots.append(name)
        if equals:
            _ask_for(request, name, variant)
    for text in variants:
        name, equals, variant = text.partition("=")
        if not equals or not name or not variant:
            raise CommandError(f'--variant is NAME=VARIANT, not "{text}"')
        _ask_for(request, name, variant)
    request.found = _unlike(read_all(files, session.standard_input))
    request.roots += (each.object.metadata.name for each in request.found)
    request.roots = list(dict.fromkeys(request.roots))
    if not request.roots:
        raise CommandError("no packages specified")
    return request


def _ask_for(request: Request, name: str, variant: str) -> None:
    if not variant:
        raise CommandError(f"no variant is named for {name}")
    if request.variants.setdefault(name, variant) != variant:
        raise CommandError(f"two variants are asked for {name}: {request.variants[name]} and {variant}")


def _unlike(found: list[Found]) -> list[Found]:
    """What is there twice and is the same is there once; what differs is an error (cozypkg-F4)."""
    first: dict[tuple[str, str], Found] = {}
    for each in found:
        kind, name = type(each.object).__name__, each.object.metadata.name
        other = first.setdefault((kind, name), each)
        if other.value != each.value:
            raise CommandError(f"{each.place}: {kind} {name} is in {other.place} too, and differs")
    return list(first.values())


def world_for(session: Session, offline: str) -> World:
    """The cluster, or the file or folder that stands in its place."""
    if offline:
        return read_files([offline], session.standard_input)
    return session.on_cluster(read_cluster)


def make_plan(session: Session, request: Request, world: World) -> Plan:
    """Everything that is to be written; asks for variants where that is allowed; raises ``CommandError``."""
    view = world.catalogue()
    for each in request.sources.values():
        view.put(each.object)
    result = _decided(session, request, view)
    if result.blocking:
        raise sentences([_hint(obstacle.kind, obstacle.sentence) for obstacle in result.blocking])
    warnings = [*world.warnings, *(obstacle.sentence for obstacle in result.obstacles)]
    actions = [_action(step, request, world, warnings) for step in result.steps]
    versions = {name: package.metadata.resource_version for name, package in world.packages.items()}
    sources: list[tuple[str, Verb, Mapping[str, Any]]] = []
    for name, each in request.sources.items():
        there = world.sources.get(name)
        same = there is not None and there.spec == each.object.spec
        sources.append((name, "none" if same else "create" if there is None else "update", _manifest(each)))
    return Plan(actions, sources, warnings, versions)


def _hint(kind: str, sentence: str) -> str:
    if kind == "undecided":
        return f"{sentence}: say --variant NAME=VARIANT, or --default-variants for the first"
    if kind == "wrong-variant":
        return f"{sentence}: say --update to change it"
    return sentence


def _decided(session: Session, request: Request, view: Catalogue) -> Closure:
    """The closure with a variant for everything, asked for one by one, first those that were asked for by name."""
    given = {name: each.object for name, each in request.packages.items()}
    variants = dict(request.variants)
    while True:
        result = closure(
            view,
            request.roots,
            variants,
            given=given,  # type: ignore[arg-type]
            all_variants=request.all_variants,
            no_deps=request.no_deps,
            update=request.update,
            take_first=request.default_variants,
        )
        if not request.ask:
            return result
        open_steps = [step for step in result.steps if not step.installed and _choices(view, step) and step.name not in given]
        unanswered = sorted((step for step in open_steps if step.name not in variants), key=lambda step: not step.asked)
        if not unanswered:
            return result
        variants[unanswered[0].name] = _ask(session, view, unanswered[0])


def _choices(view: Catalogue, step: Step) -> list[str]:
    """The variants to choose from, none where there is no choice."""
    source = view.source(step.name)
    found = list(dict.fromkeys(variant.name for variant in source.spec.variants)) if source is not None else []
    return found if len(found) > 1 else []


def _ask(session: Session, view: Catalogue, step: Step) -> str:
    source = view.sources[step.name]
    choices = _choices(view, step)
    session.tell(f"\nPackageSource: {step.name}\nAvailable variants:")
    for number, name in enumerate(choices, start=1):
        variant = next(each for each in source.spec.variants if each.name == name)
        holds = ", ".join(component.name for component in variant.components)
        parts = [f"installs {holds}" if holds else "installs nothing"]
        if variant.depends_on:
            parts.append(f"needs {', '.join(variant.depends_on)}")
        session.tell(f"  {number}. {name} ({'; '.join(parts)})")
    return choose(session, f"Select variant (1-{len(choices)})", choices, default=step.variant)


def _action(step: Step, request: Request, world: World, warnings: list[str]) -> Action:
    given, there = request.packages.get(step.name), world.packages.get(step.name)
    if there is None:
        return Action(step, "create", _new(step, given))
    pulled_in = step.asked and there.metadata.annotations.get(INSTALLED_AS_ANNOTATION) == AS_DEPENDENCY
    if given is not None:
        wanted = msgspec.convert({**_manifest(given)}, Package)
        same = wanted.spec == there.spec
        if not same and request.update:
            patched = any(each.manager == MANAGER and each.operation == "Update" for each in there.metadata.managed_fields)
            exact = msgspec.to_builtins(wanted.spec) if patched else None
            return Action(step, "update", _new(step, given), "changed by a file", exact)
        if not same:
            warnings.append(f"Package {step.name} is installed and differs from {given.place}: say --update to change it")
        elif pulled_in and INSTALLED_AS_ANNOTATION not in given.object.metadata.annotations:
            return Action(step, "mark", _ASKED_FOR, _WAS_PULLED_IN)
    elif step.variant != there.variant:
        change = {**_ASKED_FOR, "spec": {"variant": step.variant}} if pulled_in else {"spec": {"variant": step.variant}}
        return Action(step, "update", change, f"was variant {there.variant}")
    elif pulled_in:
        return Action(step, "mark", _ASKED_FOR, _WAS_PULLED_IN)
    return Action(step, "none", {}, "installed already")


_WAS_PULLED_IN = "was a dependency, is asked for now"
_ASKED_FOR = {"metadata": {"annotations": {INSTALLED_AS_ANNOTATION: None}}}


def _new(step: Step, given: Found | None) -> dict[str, Any]:
    if given is not None:
        value = _manifest(given)
        if value.get("spec", {}).get("variant", "default") != step.variant:
            value["spec"] = {**value.get("spec", {}), "variant": step.variant}
        return value
    return new_package(step)


def new_package(step: Step) -> dict[str, Any]:
    """The manifest of a Package that a closure adds, marked when nobody asked for it."""
    metadata: dict[str, Any] = {"name": step.name}
    if not step.asked:
        metadata["annotations"] = {INSTALLED_AS_ANNOTATION: AS_DEPENDENCY}
    return {"apiVersion": API_VERSION, "kind": "Package", "metadata": metadata, "spec": {"variant": step.variant}}


_KEPT_METADATA = ("name", "labels", "annotations")


def _manifest(found: Found) -> dict[str, Any]:
    """What a file wants, without what the server fills in, as it stands there in an exported object."""
    value = {key: part for key, part in found.value.items() if key in ("apiVersion", "kind", "spec")}
    metadata = {key: part for key, part in found.value["metadata"].items() if key in _KEPT_METADATA and part}
    return {**value, "metadata": metadata}
