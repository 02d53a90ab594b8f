"""What is drawn: packages or components as nodes, dependencies as edges, chosen from a view.

What a name is, a package or a component, is known where the node is made and carried on it, never read off the text
(cozypkg-D1, cozypkg-D2). Missing dependencies are nodes of their own. With ``installed`` only the variant that is installed
counts, and what it needs and is not there is shown as missing (cozypkg-D3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from cozystack.api.cozystack import PackageSource, Variant
from cozystack.api.meta import Key, find_condition
from cozystack.planner import graph
from cozystack.planner.catalogue import Catalogue
from cozystack.planner.selection import find_variant

Kind: TypeAlias = Literal["package", "component", "missing"]
State: TypeAlias = Literal["", "ready", "progressing", "waiting", "failed", "absent"]


class Node(msgspec.Struct, frozen=True, order=True, rename="camel", omit_defaults=True):
    """``id`` is ``package`` or ``package/component``; a name that nobody has is a ``missing`` package or component."""

    id: str
    kind: Kind
    label: str
    package: str = ""
    state: State = ""
    note: str = ""
    critical: bool = False


class Edge(msgspec.Struct, frozen=True, order=True, rename="camel", omit_defaults=True):
    """``source`` depends on ``target``. ``variants`` are those that say so, where not all of them do."""

    source: str
    target: str
    variants: tuple[str, ...] = ()
    belongs: bool = False
    """From a component to its package: no dependency."""
    critical: bool = False


class Picture(msgspec.Struct, frozen=True):
    """Nodes and edges, sorted."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.id == name)


def picture(
    view: Catalogue,
    names: Iterable[str] = (),
    *,
    installed: bool = False,
    components: bool = False,
    reverse: bool = False,
    depth: int | None = None,
    states: bool = False,
    critical_path: bool = False,
    durations: Mapping[Key, float] | None = None,
) -> Picture:
    """The graph around ``names`` (all, when empty); raises ``LookupError`` for names that are not there (cozypkg-D8).

    ``reverse`` follows who needs a package instead of what it needs, ``depth`` bounds how far (cozypkg-D4).
    """
    roots = list(dict.fromkeys(names))
    every = set(view.packages) if installed else set(view.sources)
    unknown = [name for name in roots if name not in every]
    if unknown:
        raise LookupError(unknown[0])
    drawn = _Drawing(view, installed=installed, states=states)
    edges = {name: drawn.needs(name) for name in every}
    chosen = _around(edges, roots, reverse, depth) if roots else every
    for name in sorted(chosen & every):
        drawn.package(name, [target for target in edges[name] if not roots or target in chosen])
    if components:
        for name in sorted(chosen & every):
            drawn.components(name)
    result = drawn.result()
    return _highlighted(result, view, durations or {}) if critical_path else result


def _around(edges: Mapping[str, Iterable[str]], roots: Iterable[str], reverse: bool, depth: int | None) -> set[str]:
    """What is reached from ``roots`` along the edges, or against them."""
    steps: Mapping[str, Iterable[str]] = edges
    if reverse:
        back: dict[str, list[str]] = {}
        for name in sorted(edges):
            for target in edges[name]:
                back.setdefault(target, []).append(name)
        steps = back
    distance = dict.fromkeys(roots, 0)
    queue = deque(distance)
    while queue:
        name = queue.popleft()
        if depth is not None and distance[name] >= depth:
            continue
        for target in steps.get(name, ()):
            if target not in distance:
                distance[target] = distance[name] + 1
                queue.append(target)
    return set(distance)


class _Drawing:
    def __init__(self, view: Catalogue, *, installed: bool, states: bool) -> None:
        self._view = view
        self._installed = installed
        self._states = states
        self._nodes: dict[str, Node] = {}
        self._edges: dict[tuple[str, str], Edge] = {}

    def needs(self, name: str) -> dict[str, tuple[str, ...]]:
        """What a package depends on, each with the variants that say so where not all do."""
        source, variants = self._variants(name)
        if self._installed:
            return dict.fromkeys(self._view.dependencies(name), ())
        if source is None:
            return {}
        every = {variant.name for variant in variants}
        found: dict[str, list[str]] = {}
        for variant in variants:
            for target in dict.fromkeys(variant.depends_on):
                found.setdefault(target, []).append(variant.name)
        return {target: tuple(by) if set(by) != every else () for target, by in found.items()}

    def package(self, name: str, targets: Iterable[str]) -> None:
        self._nodes[name] = Node(name, "package", name, name, self._state(name), self._note(name))
        needs = self.needs(name)
        for target in targets:
            there = target in (self._view.packages if self._installed else self._view.sources)
            if not there:
                self._nodes.setdefault(target, Node(target, "missing", target, target))
            elif target not in self._nodes:
                self._nodes[target] = Node(target, "package", target, target, self._state(target), self._note(target))
            self._edges[name, target] = Edge(name, target, needs[target] if there else ())

    def components(self, name: str) -> None:
        """The components that are installed: those of every variant, or of the one that was chosen."""
        _, variants = self._variants(name)
        holders: dict[str, set[str]] = {}
        needs: dict[tuple[str, str], set[str]] = {}
        package = self._view.package(name) if self._installed else None
        for variant in variants:
            for component in variant.components:
                off = package is not None and package.override(component.name).enabled is False
                if component.install is None or off:
                    continue
                holders.setdefault(component.name, set()).add(variant.name)
                for target in component.install.depends_on:
                    needs.setdefault((component.name, target), set()).add(variant.name)
        every = {variant.name for variant in variants}
        for component_name in sorted(holders):
            key = f"{name}/{component_name}"
            self._nodes[key] = Node(key, "component", component_name, name)
            by = tuple(sorted(holders[component_name])) if holders[component_name] != every else ()
            self._edges[key, name] = Edge(key, name, by, belongs=True)
        for (component_name, target), told in sorted(needs.items()):
            source, to = f"{name}/{component_name}", f"{name}/{target}"
            if target not in holders:
                self._nodes.setdefault(to, Node(to, "missing", target, name))
            by = tuple(sorted(told)) if target in holders and told != holders[component_name] else ()
            self._edges[source, to] = Edge(source, to, by)

    def result(self) -> Picture:
        return Picture(tuple(sorted(self._nodes.values())), tuple(sorted(self._edges.values())))

    def _variants(self, name: str) -> tuple[PackageSource | None, tuple[Variant, ...]]:
        source = self._view.source(name)
        if source is None:
            return None, ()
        package = self._view.package(name)
        if not self._installed or package is None:
            return source, source.spec.variants
        chosen = find_variant(source, package.variant)
        return source, (chosen,) if chosen is not None else ()

    def _state(self, name: str) -> State:
        if not self._states:
            return ""
        package = self._view.package(name)
        if package is None:
            return "absent"
        plan = self._view.plan(name)
        ready = find_condition(plan.status.conditions, "Ready")
        if ready is not None and ready.status == "True":
            return "progressing" if find_condition(plan.status.conditions, "Reconciling") is not None else "ready"
        if any(release.state.phase == "Failed" for release in plan.releases):
            return "failed"
        if plan.gate.waiting_for:
            return "waiting"
        stalled = find_condition(plan.status.conditions, "Stalled")
        return "failed" if stalled is not None and stalled.status == "True" else "progressing"

    def _note(self, name: str) -> str:
        package = self._view.package(name)
        if package is None or not (self._states or self._installed):
            return ""
        ready = find_condition(package.status.conditions, "Ready") if self._states else None
        return package.variant + (f": {ready.message}" if ready is not None and ready.message else "")


def _highlighted(drawn: Picture, view: Catalogue, durations: Mapping[Key, float]) -> Picture:
    """The longest chain of packages marked, by how long their releases took; each counts as one where that is not known."""

    def duration(name: str) -> float:
        known = (
            [durations[release.key] for release in view.desired(name) if release.key in durations] if view.package(name) else []
        )
        return sum(known) or 1.0

    edges: dict[str, list[str]] = {node.id: [] for node in drawn.nodes if node.kind == "package"}
    for edge in drawn.edges:
        if edge.source in edges and edge.target in edges and not edge.belongs:
            edges[edge.source].append(edge.target)
    _, path = graph.critical_path(edges, duration)
    steps = set(zip(path[1:], path, strict=False))
    return Picture(
        tuple(msgspec.structs.replace(node, critical=node.id in path) for node in drawn.nodes),
        tuple(msgspec.structs.replace(edge, critical=(edge.source, edge.target) in steps) for edge in drawn.edges),
    )
