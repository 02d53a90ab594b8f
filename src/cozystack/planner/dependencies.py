"""The graph of Packages, kept up to date edit by edit: who depends on whom, in which order to look, who is in a loop.

Each node has a rank above the ranks of all that it depends on (members of one loop share theirs), also nodes that do not exist
but are depended on. Ranks only grow, and only along the edges that need it, so that an edit costs what it changes. An edit that
would raise one of its own dependencies has closed a loop; only then is a part of the graph searched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heappush

from cozystack.planner import graph

_NOBODY: frozenset[str] = frozenset()
_ALONE: tuple[tuple[str, ...], frozenset[str]] = ((), _NOBODY)


class DependencyGraph:
    def __init__(self) -> None:
        self._dependencies: dict[str, tuple[str, ...]] = {}
        self._dependents: dict[str, set[str]] = {}
        self._rank: dict[str, int] = {}
        self._component: dict[str, frozenset[str]] = {}
        self._loop: dict[str, tuple[str, ...]] = {}
        self._connected = False
        """Whether ranks and loops are behind: something was connected since they were built."""

    def dependencies(self, node: str) -> tuple[str, ...]:
        return self._dependencies.get(node, ())

    def dependents(self, node: str) -> frozenset[str] | set[str]:
        return self._dependents.get(node, _NOBODY)

    def rank(self, node: str) -> int:
        return self._rank.get(node, 0)

    def companions(self, node: str) -> frozenset[str]:
        """All that wait for ``node`` while it waits for them, itself included; empty outside loops."""
        return self._component.get(node, _NOBODY)

    def loop(self, node: str) -> tuple[str, ...]:
        """A loop that ``node`` is part of; each member depends on the next, the last on the first."""
        return self._loop.get(node, ())

    @property
    def components(self) -> set[frozenset[str]]:
        return set(self._component.values())

    def connect(self, node: str, dependencies: tuple[str, ...]) -> set[str]:
        """Put down what ``node`` depends on, ranks and loops aside: call ``rebuild`` before asking for those."""
        old = self._dependencies.get(node, ())
        if dependencies:
            self._dependencies[node] = dependencies
        else:
            self._dependencies.pop(node, None)
        for target in set(old) - set(dependencies):
            waiting = self._dependents[target]
            waiting.discard(node)
            if not waiting:
                del self._dependents[target]
        added = set(dependencies) - set(old)
        for target in added:
            self._dependents.setdefault(target, set()).add(node)
        self._connected = True
        return added

    def replace(self, node: str, dependencies: tuple[str, ...]) -> set[str]:
        """Put down what ``node`` depends on; returns the nodes whose loop has changed."""
        added = self.connect(node, dependencies)
        self._connected = False
        companions = self.companions(node)
        unfinished: list[str] = []
        if not companions:
            if all(self.rank(target) < self.rank(node) for target in added):
                return set()
            unfinished = self._lift([node], added)
            if not unfinished:
                return set()
        return self._search(companions | {node}, unfinished)

    def rebuild(self) -> set[str]:
        """Ranks and loops of everything, in one pass; returns the nodes whose loop has changed."""
        if not self._connected:
            return set()
        self._connected = False
        before = {node: self._standing(node) for node in self._component}
        self._rank.clear()
        self._component.clear()
        self._loop.clear()
        for component in graph.strong_components(self.dependencies, list(self._dependencies)):
            self._place(component)
        return {node for node in before.keys() | self._component.keys() if before.get(node, _ALONE) != self._standing(node)}

    def _standing(self, node: str) -> tuple[tuple[str, ...], frozenset[str]]:
        return self.loop(node), self.companions(node)

    def _search(self, nodes: frozenset[str], unfinished: list[str]) -> set[str]:
        """Find the loops of ``nodes`` and of all that has joined them, then lift what is left to lift."""
        found = [
            component
            for component in graph.strong_components(self.dependencies, sorted(nodes))
            if len(component) > 1 or component[0] in nodes
        ]
        before = {node: self._standing(node) for component in found for node in component}
        for node in before:
            self._loop.pop(node, None)
            self._component.pop(node, None)
        for component in found:
            self._place(component)
        self._lift([*unfinished, *(dependent for node in before for dependent in self.dependents(node))], ())
        return {node for node, standing in before.items() if self._standing(node) != standing}

    def _place(self, component: list[str]) -> None:
        first = component[0]
        if len(component) > 1 or first in self.dependencies(first):
            members = frozenset(component)
            self._component.update(dict.fromkeys(component, members))
            self._loop.update(graph.loops(self.dependencies, component))
        least = self._least_rank(component)
        for node in component:
            self._rank[node] = max(self.rank(node), least)

    def _least_rank(self, component: Collection[str]) -> int:
        below = (self.rank(target) for node in component for target in self.dependencies(node) if target not in component)
        highest = max((self.rank(node) for node in component), default=0) if len(component) > 1 else 0
        return max(max(below, default=-1) + 1, highest)

    def _lift(self, waiting: list[str], added: Iterable[str]) -> list[str]:
        """Lift nodes above what they depend on, and then whoever depends on them.

        Stops where that would lift one of ``added``, the new dependencies of the first: they have closed a loop. Returns what
        is then left to lift.
        """
        forbidden = set(added)
        if not forbidden.isdisjoint(waiting):
            return waiting
        heap = [(self.rank(node), node) for node in waiting]
        heapify(heap)
        while heap:
            _, node = heappop(heap)
            members: Collection[str] = self.companions(node) or (node,)
            least = self._least_rank(members)
            if all(self.rank(member) >= least for member in members):
                continue
            if not forbidden.isdisjoint(members):
                return [node, *(other for _, other in heap)]
            for member in members:
                self._rank[member] = max(self.rank(member), least)
                for dependent in self.dependents(member):
                    if dependent not in members:
                        heappush(heap, (self.rank(dependent), dependent))
        return []
