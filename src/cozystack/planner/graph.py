"""Algorithms on dependency graphs: strongly connected components, loops, waves, the critical path.

A graph maps each node to those that it depends on; names that are no keys are nobody's nodes and are passed over. Everything
is iterative and linear in nodes and edges, so that deep chains and large loops are no special cases.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, TypeVar


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...
    def __hash__(self) -> int: ...


N = TypeVar("N", bound=_Ordered)
Successors: TypeAlias = Callable[[N], Iterable[N]]


def strong_components(successors: Successors[N], roots: Iterable[N]) -> Iterator[list[N]]:
    """The strongly connected components that can be reached from ``roots``, each after all those that it leads to (Tarjan)."""
    index: dict[N, int] = {}
    low: dict[N, int] = {}
    stack: list[N] = []
    on_stack: set[N] = set()
    for root in roots:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        work = [(root, iter(successors(root)))]
        while work:
            node, edges = work[-1]
            for target in edges:
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(successors(target))))
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[node])
                if low[node] == index[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.append(member)
                        if member == node:
                            break
                    yield component


def cycles(successors: Successors[N], roots: Iterable[N]) -> Iterator[list[N]]:
    """Those components in which nodes wait for each other, or for themselves."""
    for component in strong_components(successors, roots):
        if len(component) > 1 or component[0] in successors(component[0]):
            yield component


def loops(successors: Successors[N], component: Collection[N]) -> dict[N, tuple[N, ...]]:
    """For each member of a component a loop that it is part of, a short one; it starts at the loop's smallest member."""
    inside = set(component)
    found: dict[N, tuple[N, ...]] = {}
    for start in sorted(inside):
        if start in found:
            continue
        loop = _shortest_loop(successors, inside, start)
        least = loop.index(min(loop))
        turned = (*loop[least:], *loop[:least])
        for member in turned:
            found.setdefault(member, turned)
    return found


def _shortest_loop(successors: Successors[N], inside: set[N], start: N) -> list[N]:
    came_from: dict[N, N] = {}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for target in successors(node):
            if target == start:
                path = [node]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if target in inside and target not in came_from:
                came_from[target] = node
                queue.append(target)
    return [start]


def waves(graph: Mapping[N, Iterable[N]]) -> tuple[tuple[N, ...], ...]:
    """Nodes by the earliest step at which all that they depend on is done; within a wave in order of their names.

    Members of cycles, and whatever waits for them, are in no wave.
    """
    missing = {node: len(set(targets) & graph.keys()) for node, targets in graph.items()}
    dependents = invert(graph)
    wave = sorted(node for node, count in missing.items() if count == 0)
    result: list[tuple[N, ...]] = []
    while wave:
        result.append(tuple(wave))
        following = []
        for node in wave:
            for dependent in dependents.get(node, ()):
                missing[dependent] -= 1
                if missing[dependent] == 0:
                    following.append(dependent)
        wave = sorted(following)
    return tuple(result)


def invert(graph: Mapping[N, Iterable[N]]) -> dict[N, list[N]]:
    """Who depends on each node, every dependent once."""
    dependents: dict[N, list[N]] = {}
    for node, targets in graph.items():
        for target in set(targets):
            if target in graph:
                dependents.setdefault(target, []).append(node)
    return dependents


def critical_path(graph: Mapping[N, Iterable[N]], duration: Callable[[N], float]) -> tuple[float, tuple[N, ...]]:
    """The longest chain, first node first, and how long it takes; nodes that no wave holds are left out."""
    finish: dict[N, float] = {}
    before: dict[N, N | None] = {}
    for wave in waves(graph):
        for node in wave:
            previous = max(
                (target for target in sorted(set(graph[node])) if target in finish), key=finish.__getitem__, default=None
            )
            before[node] = previous
            finish[node] = duration(node) + (0.0 if previous is None else finish[previous])
    if not finish:
        return 0.0, ()
    last: N | None = max(sorted(finish), key=finish.__getitem__)
    total = finish[last] if last is not None else 0.0
    path = []
    while last is not None:
        path.append(last)
        last = before[last]
    return total, tuple(reversed(path))
