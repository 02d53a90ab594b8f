"""Where each node goes: layers by the longest way, an order with few crossings, coordinates.

The usual four steps of a layered drawing (Sugiyama): edges that close a loop are turned round, every node gets the layer after
all that it depends on, long edges get a bend in each layer they pass, and the nodes of a layer are ordered by the middle of
their neighbours, back and forth. Everything is deterministic and close to linear: a thousand packages are drawn at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from statistics import fmean

import msgspec

Point = tuple[float, float]
_SWEEPS = 8


class Placed(msgspec.Struct, frozen=True):
    """The middle of each node, the points of each edge (source, target), and how large it all is; pixels."""

    nodes: dict[str, Point]
    edges: dict[tuple[str, str], tuple[Point, ...]]
    width: float
    height: float


def place(
    nodes: Iterable[str],
    edges: Iterable[tuple[str, str]],
    widths: Mapping[str, float],
    *,
    height: float = 28.0,
    gap: float = 14.0,
    between: float = 70.0,
) -> Placed:
    """Nodes in columns, what is depended on to the left; ``widths`` and ``height`` of nodes in pixels."""
    names = sorted(nodes)
    wanted = sorted({edge for edge in edges if edge[0] != edge[1]})
    forward = _without_loops(names, wanted)
    layer = _layers(names, forward)
    chains, layers = _bends(names, forward, layer)
    _order(layers, chains)
    size = dict.fromkeys(names, height)
    columns = [max((widths.get(name, 0.0) for name in row), default=0.0) for row in layers]
    x, middle = 0.0, []
    for column in columns:
        middle.append(x + column / 2)
        x += column + between
    y = _heights(layers, chains, size, gap)
    where = {name: (middle[index], y[name]) for index, row in enumerate(layers) for name in row}
    lines = {}
    for edge in wanted:
        turned = edge not in forward
        chain = chains[edge[::-1] if turned else edge]
        points = [where[name] for name in chain]
        lines[edge] = tuple(reversed(points)) if turned else tuple(points)
    top = min((value for value in y.values()), default=0.0) - height
    return Placed(
        nodes={name: (where[name][0], where[name][1] - top) for name in names},
        edges={edge: tuple((px, py - top) for px, py in points) for edge, points in lines.items()},
        width=max(x - between, 0.0),
        height=max((value for value in y.values()), default=0.0) - top + height,
    )


def _without_loops(names: list[str], edges: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """The edges, those turned round that lead back to where a search came from."""
    targets: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        targets[source].append(target)
    done: set[str] = set()
    active: set[str] = set()
    result: set[tuple[str, str]] = set()
    for start in names:
        if start in done:
            continue
        stack = [(start, iter(targets[start]))]
        active.add(start)
        while stack:
            name, rest = stack[-1]
            for target in rest:
                if target in active:
                    result.add((target, name))
                    continue
                result.add((name, target))
                if target not in done:
                    active.add(target)
                    stack.append((target, iter(targets[target])))
                    break
            else:
                stack.pop()
                active.discard(name)
                done.add(name)
    return result


def _layers(names: list[str], edges: set[tuple[str, str]]) -> dict[str, int]:
    """One more than the highest of all that a node depends on."""
    dependents: dict[str, list[str]] = {name: [] for name in names}
    missing = dict.fromkeys(names, 0)
    for source, target in sorted(edges):
        dependents[target].append(source)
        missing[source] += 1
    layer = dict.fromkeys(names, 0)
    ready = [name for name in names if not missing[name]]
    for name in ready:
        for dependent in dependents[name]:
            layer[dependent] = max(layer[dependent], layer[name] + 1)
            missing[dependent] -= 1
            if not missing[dependent]:
                ready.append(dependent)
    return layer


def _bends(
    names: list[str], edges: set[tuple[str, str]], layer: Mapping[str, int]
) -> tuple[dict[tuple[str, str], list[str]], list[list[str]]]:
    """Each edge as the chain of nodes and bends that it passes, and the layers with the bends in them."""
    layers: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in names:
        layers[layer[name]].append(name)
    chains = {}
    for source, target in sorted(edges):
        chain = [source]
        for index in range(layer[source] - 1, layer[target], -1):
            bend = f"\0{source}\0{target}\0{index}"
            layers[index].append(bend)
            chain.append(bend)
        chains[source, target] = [*chain, target]
    return chains, layers


def _order(layers: list[list[str]], chains: Mapping[tuple[str, str], list[str]]) -> None:
    """Order each layer by the middle of the neighbours, to one side and back."""
    left: dict[str, list[str]] = {}
    right: dict[str, list[str]] = {}
    for chain in chains.values():
        for name, following in pairwise(chain):
            left.setdefault(name, []).append(following)
            right.setdefault(following, []).append(name)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        rows = range(1, len(layers)) if forward else range(len(layers) - 2, -1, -1)
        neighbours = left if forward else right
        for index in rows:
            other = layers[index - 1] if forward else layers[index + 1]
            position = {name: place for place, name in enumerate(other)}
            here = {name: place for place, name in enumerate(layers[index])}
            middle = {
                name: fmean(position[each] for each in neighbours[name]) if neighbours.get(name) else float(here[name])
                for name in layers[index]
            }
            layers[index] = [name for _, _, name in sorted((middle[name], here[name], name) for name in layers[index])]


def _heights(
    layers: list[list[str]], chains: Mapping[tuple[str, str], list[str]], size: Mapping[str, float], gap: float
) -> dict[str, float]:
    """Heights that keep the order and the distances, drawn towards the neighbours."""
    neighbours: dict[str, list[str]] = {}
    for chain in chains.values():
        for name, following in pairwise(chain):
            neighbours.setdefault(name, []).append(following)
            neighbours.setdefault(following, []).append(name)

    def room(name: str) -> float:
        return size.get(name, 4.0) / 2 + gap / 2

    y: dict[str, float] = {}
    for row in layers:
        at = 0.0
        for name in row:
            at += room(name)
            y[name] = at
            at += room(name)
        for name in row:
            y[name] -= at / 2
    for _ in range(_SWEEPS):
        for row in layers:
            wish = {name: fmean(y[each] for each in neighbours[name]) if neighbours.get(name) else y[name] for name in row}
            _settle(row, wish, room, y)
    return y


def _settle(row: list[str], wish: Mapping[str, float], room: Callable[[str], float], y: dict[str, float]) -> None:
    """As near to the wishes as order and distances allow: neighbours that want the same place share it in a block."""
    blocks: list[list[float]] = []  # [sum of (wish - offset), count, length]
    members: list[list[str]] = []
    for name in row:
        blocks.append([wish[name], 1.0, 0.0])
        members.append([name])
        while len(blocks) > 1:
            upper, lower = blocks[-2], blocks[-1]
            step = upper[2] + room(members[-2][-1]) + room(members[-1][0])
            if lower[0] / lower[1] >= upper[0] / upper[1] + step:
                break
            upper[0] += lower[0] - lower[1] * step
            upper[1] += lower[1]
            upper[2] = step + lower[2]
            members[-2] += members[-1]
            blocks.pop()
            members.pop()
    for block, names in zip(blocks, members, strict=True):
        at = block[0] / block[1]
        for index, name in enumerate(names):
            if index:
                at += room(names[index - 1]) + room(name)
            y[name] = at
