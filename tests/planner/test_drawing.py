"""Where nodes go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cozystack.planner.drawing.layout import place

NAMES = [f"n{number}" for number in range(12)]
edges_of_graphs = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=40)


@given(edges_of_graphs)
def test_no_two_nodes_overlap_and_all_are_inside(edges: list[tuple[str, str]]) -> None:
    widths = {name: 60.0 + 10 * number for number, name in enumerate(NAMES)}
    placed = place(NAMES, edges, widths, height=20.0)
    boxes = [(x - widths[name] / 2, x + widths[name] / 2, y - 10, y + 10) for name, (x, y) in placed.nodes.items()]
    for index, (left, right, top, bottom) in enumerate(boxes):
        assert -1e-6 <= left <= right <= placed.width + 1e-6
        assert -1e-6 <= top <= bottom <= placed.height + 1e-6
        for other in boxes[index + 1 :]:
            assert right <= other[0] or other[1] <= left or bottom <= other[2] + 1e-6 or other[3] <= top + 1e-6


@given(edges_of_graphs)
def test_an_edge_begins_and_ends_at_its_nodes(edges: list[tuple[str, str]]) -> None:
    placed = place(NAMES, edges, {})
    for (source, target), points in placed.edges.items():
        assert (points[0], points[-1]) == (placed.nodes[source], placed.nodes[target])


def test_what_is_depended_on_stands_to_the_left() -> None:
    placed = place(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")], {})
    assert placed.nodes["c"][0] < placed.nodes["b"][0] < placed.nodes["a"][0]
    # The long edge has a bend in the layer that it passes.
    assert len(placed.edges["a", "c"]) == 3


def test_nothing_is_drawn_of_nothing() -> None:
    assert place([], [], {}).nodes == {}
