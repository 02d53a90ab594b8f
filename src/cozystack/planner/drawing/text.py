"""A picture as text: Graphviz DOT (specification, cozypkg 9.5, 9.6), Mermaid, a tree for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from cozystack.planner.drawing.picture import Edge, Node, Picture

COLOURS = {
    "ready": "palegreen",
    "progressing": "khaki",
    "waiting": "moccasin",
    "failed": "lightcoral",
    "absent": "gainsboro",
}
_STYLE = "rounded,filled"


def dot(picture: Picture) -> Iterator[str]:
    """Lines of DOT: nodes and edges sorted by name, components in a frame around their package (cozypkg-D7)."""
    number = {node.id: index for index, node in enumerate(picture.nodes, 1)}
    members: dict[str, list[Node]] = {}
    for node in picture.nodes:
        members.setdefault(node.package, []).append(node)
    framed = {package for package, nodes in members.items() if any(node.kind == "component" for node in nodes)}
    yield "digraph  {"
    yield '\tnodesep="0.5";rankdir="RL";ranksep="1.0";'
    for node in picture.nodes:
        if node.package not in framed:
            yield f"\t{_dot_node(node, number)}"
    for package in sorted(framed):
        yield f"\tsubgraph {_quoted('cluster_' + package)} {{"
        yield '\t\tlabel="";style="rounded,dashed";color="gray";'
        for node in members[package]:
            yield f"\t\t{_dot_node(node, number)}"
        yield "\t}"
    kinds = {node.id: node.kind for node in picture.nodes}
    for edge in picture.edges:
        yield f"\tn{number[edge.source]}->n{number[edge.target]}[{_attributes(_dot_edge(edge, kinds))}];"
    yield "}"


def _dot_node(node: Node, number: dict[str, int]) -> str:
    if node.kind == "missing":
        fill, style = "lightcoral", _STYLE + ",dashed"
    else:
        fill = COLOURS.get(node.state) or ("lightblue" if node.kind == "package" else "lightyellow")
        style = _STYLE
    attributes = {"label": node.label, "shape": "box", "style": style, "fillcolor": fill}
    if node.note:
        attributes["tooltip"] = node.note
    if node.critical:
        attributes["penwidth"] = "3"
    return f"n{number[node.id]}[{_attributes(attributes)}];"


def _dot_edge(edge: Edge, kinds: Mapping[str, str]) -> dict[str, str]:
    if kinds[edge.target] == "missing":
        attributes = {"color": "red", "style": "dashed"}
    else:
        both = kinds[edge.source] == kinds[edge.target] == "package"
        attributes = {"color": "black" if both else "green"}
    if edge.belongs:
        attributes["style"] = "dotted"
    if edge.variants:
        attributes["label"] = ",".join(edge.variants)
    if edge.critical:
        attributes["penwidth"] = "3"
    return attributes


def _attributes(values: dict[str, str]) -> str:
    return ",".join(f"{key}={_quoted(values[key])}" for key in sorted(values))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def mermaid(picture: Picture) -> Iterator[str]:
    """Lines of a Mermaid flowchart."""
    number = {node.id: f"n{index}" for index, node in enumerate(picture.nodes, 1)}
    yield "flowchart RL"
    used = set()
    for node in picture.nodes:
        shape = f'(["{_escaped(node.label)}"])' if node.kind == "component" else f'["{_escaped(node.label)}"]'
        kind = "missing" if node.kind == "missing" else node.state or node.kind
        used.add(kind)
        yield f"    {number[node.id]}{shape}:::{kind}"
    for edge in picture.edges:
        arrow = "==>" if edge.critical else "-.->" if edge.belongs else "-->"
        label = f"|{_escaped(','.join(edge.variants))}|" if edge.variants else ""
        yield f"    {number[edge.source]} {arrow}{label} {number[edge.target]}"
    fills = {"package": "#add8e6", "component": "#ffffe0", "missing": "#f08080", "ready": "#98fb98", "progressing": "#f0e68c",
             "waiting": "#ffe4b5", "failed": "#f08080", "absent": "#dcdcdc"}  # fmt: skip
    for kind in sorted(used):
        dashed = ",stroke-dasharray:4" if kind == "missing" else ""
        yield f"    classDef {kind} fill:{fills[kind]},color:#000{dashed}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace("|", "&#124;")


def tree(picture: Picture, roots: Iterable[str] = (), *, reverse: bool = False, ascii_only: bool = False) -> Iterator[str]:
    """Lines of a tree, one for each root; what was shown before is shown once more without what is below it."""
    below: dict[str, list[str]] = {node.id: [] for node in picture.nodes}
    inner = set()
    for edge in picture.edges:
        above, under = (edge.target, edge.source) if reverse or edge.belongs else (edge.source, edge.target)
        below[above].append(under)
        inner.add(under)
    starts = [root for root in roots if root in below] or [node.id for node in picture.nodes if node.id not in inner]
    starts = starts or [node.id for node in picture.nodes[:1]]
    nodes = {node.id: node for node in picture.nodes}
    bar, fork, last, gap = ("|  ", "|- ", "`- ", "   ") if ascii_only else ("│  ", "├─ ", "└─ ", "   ")
    shown: set[str] = set()

    def line(name: str) -> str:
        node = nodes[name]
        text = node.label
        if node.kind == "missing":
            text += " (missing)"
        if node.state:
            text += f" [{node.state}]"
        return text + (" *" if node.critical else "")

    for start in starts:
        stack: list[tuple[str, str, str]] = [(start, "", "")]
        while stack:
            name, lead, branch = stack.pop()
            children = sorted(set(below[name]))
            again = name in shown and children
            yield f"{lead}{branch}{line(name)}" + (" ..." if again else "")
            if again:
                continue
            shown.add(name)
            under = lead + ("" if not branch else gap if branch == last else bar)
            for index in range(len(children) - 1, -1, -1):
                stack.append((children[index], under, last if index == len(children) - 1 else fork))
