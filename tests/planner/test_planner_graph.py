"""Graph algorithms: components, loops, waves, critical path, and the graph that is kept up to date edit by edit."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozystack.planner.dependencies import DependencyGraph
from cozystack.planner.graph import critical_path, cycles, loops, strong_components, waves

NODES = "abcdefgh"
GRAPHS = st.dictionaries(st.sampled_from(NODES), st.lists(st.sampled_from(NODES), max_size=3), max_size=len(NODES))
EDITS = st.lists(
    st.tuples(st.sampled_from(NODES), st.lists(st.sampled_from(NODES), max_size=3, unique=True).map(tuple)), max_size=24
)


def reachable(graph: dict[str, list[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph.get(waiting.pop(), ()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found


@given(GRAPHS)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_components_are_what_reaches_each_other(graph: dict[str, list[str]]) -> None:
    found = [sorted(c) for c in strong_components(lambda node: graph.get(node, ()), sorted(graph))]
    for component in found:
        for node in component:
            together = {other for other in reachable(graph, node) if node in reachable(graph, other)} | {node}
            assert sorted(together) == component
    order = [node for component in found for node in component]
    assert len(order) == len(set(order))
    place = {node: number for number, component in enumerate(found) for node in component}
    assert all(place[target] <= place[node] for node in graph for target in graph[node])


@given(GRAPHS)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_loops_are_loops(graph: dict[str, list[str]]) -> None:
    def successors(node: str) -> Iterable[str]:
        return graph.get(node, ())

    for component in cycles(successors, sorted(graph)):
        for node, loop in loops(successors, component).items():
            assert node in loop
            assert loop[0] == min(loop)
            assert all(after in graph[before] for before, after in zip(loop, (*loop[1:], loop[0]), strict=True))


@given(GRAPHS)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_waves_agree_with_graphlib(graph: dict[str, list[str]]) -> None:
    inside = {node: [target for target in targets if target in graph] for node, targets in graph.items()}
    stuck = {node for node in graph if node in reachable(inside, node)}
    stuck |= {node for node in graph if reachable(inside, node) & stuck}
    found = waves(graph)
    assert {node for wave in found for node in wave} == graph.keys() - stuck
    sorter = graphlib.TopologicalSorter({node: targets for node, targets in inside.items() if node not in stuck})
    sorter.prepare()
    expected = []
    while ready := sorter.get_ready():
        expected.append(tuple(sorted(ready)))
        sorter.done(*ready)
    assert list(found) == expected


def test_the_critical_path_is_the_longest_chain() -> None:
    graph = {"crds": [], "agent": ["crds"], "ui": ["crds"], "app": ["agent", "ui"], "x": ["y"], "y": ["x"]}
    cost = {"crds": 1.0, "agent": 5.0, "ui": 7.0, "app": 2.0}
    assert critical_path(graph, lambda node: cost.get(node, 100.0)) == (10.0, ("crds", "ui", "app"))
    assert critical_path({}, lambda node: 1.0) == (0.0, ())


def test_deep_chains_and_large_loops_are_no_special_cases() -> None:
    graph = {number: [number - 1] if number else [] for number in range(20_000)}
    assert len(list(strong_components(graph.__getitem__, [19_999]))) == 20_000
    ring = {number: [(number + 1) % 20_000] for number in range(20_000)}
    component = next(cycles(ring.__getitem__, [0]))
    assert set(map(len, loops(ring.__getitem__, component).values())) == {20_000}


@given(EDITS)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_a_graph_that_is_edited_equals_one_that_is_rebuilt(edits: list[tuple[str, tuple[str, ...]]]) -> None:
    edited = DependencyGraph()
    for node, dependencies in edits:
        before = {name: (edited.loop(name), edited.companions(name)) for name in NODES}
        changed = edited.replace(node, dependencies)
        after = {name: (edited.loop(name), edited.companions(name)) for name in NODES}
        assert {name for name in NODES if before[name] != after[name]} <= changed
        rebuilt = DependencyGraph()
        for name in NODES:
            rebuilt.connect(name, edited.dependencies(name))
        rebuilt.rebuild()
        for name in NODES:
            assert edited.dependents(name) == rebuilt.dependents(name)
            assert edited.companions(name) == rebuilt.companions(name)
            assert edited.loop(name) == rebuilt.loop(name)
            for target in edited.dependencies(name):
                inside = target in edited.companions(name)
                assert edited.rank(target) < edited.rank(name) or inside


@pytest.mark.parametrize("order", [range(200), range(199, -1, -1)])
def test_ranks_follow_a_chain_however_it_is_built(order: Iterable[int]) -> None:
    graph = DependencyGraph()
    for number in order:
        graph.replace(f"p{number}", (f"p{number - 1}",) if number else ())
    assert [graph.rank(f"p{number}") for number in range(200)] == list(range(200))
    assert graph.replace("p0", ("p199",)) == {f"p{number}" for number in range(200)}
    assert len(graph.components) == 1
    assert graph.replace("p0", ()) == {f"p{number}" for number in range(200)}
    assert not graph.components
