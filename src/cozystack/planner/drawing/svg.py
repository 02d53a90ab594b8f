"""A picture as SVG, drawn here, and a page around it that can be moved, zoomed and searched. Neither loads anything."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from cozystack.planner.drawing.layout import Point, place

if TYPE_CHECKING:
    from cozystack.planner.drawing.picture import Edge, Node, Picture

_HEIGHT = 28.0
_MARGIN = 20.0
_LETTER = 7.3
_FILLS = {
    "package": "#dbeafe",
    "component": "#fef9c3",
    "missing": "#fecaca",
    "ready": "#bbf7d0",
    "progressing": "#fde68a",
    "waiting": "#fed7aa",
    "failed": "#fca5a5",
    "absent": "#e5e7eb",
}
_CSS = (
    "text{font:13px ui-sans-serif,system-ui,sans-serif;fill:#111827}"
    "rect{stroke:#475569;rx:6}"
    "path{fill:none;stroke:#64748b;stroke-width:1.2}"
    ".missing rect{stroke:#b91c1c;stroke-dasharray:4}"
    "path.missing{stroke:#b91c1c;stroke-dasharray:5}"
    "path.belongs{stroke-dasharray:2 3;stroke:#94a3b8}"
    ".critical rect,path.critical{stroke:#b45309;stroke-width:2.6}"
    ".label{font-size:11px;fill:#475569}"
)


def svg(picture: Picture, *, title: str = "Dependencies of packages") -> str:
    """One SVG document; what is depended on stands to the left, as Graphviz does it with ``rankdir=RL``."""
    widths = {node.id: max(60.0, len(node.label) * _LETTER + 22) for node in picture.nodes}
    placed = place(widths, ((edge.source, edge.target) for edge in picture.edges), widths, height=_HEIGHT)
    width, height = placed.width + 2 * _MARGIN, placed.height + 2 * _MARGIN
    kinds = {node.id: node.kind for node in picture.nodes}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" '
        f'height="{_n(height)}" role="img"><title>{escape(title)}</title><style>{_CSS}</style>',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:#64748b;stroke:none"/></marker></defs>',
        f'<g transform="translate({_n(_MARGIN)} {_n(_MARGIN)})">',
    ]
    for edge in picture.edges:
        if edge.source != edge.target:
            points = placed.edges[edge.source, edge.target]
            parts.append(_edge(edge, points, widths, kinds[edge.target] == "missing"))
    parts += (_node(node, placed.nodes[node.id], widths[node.id]) for node in picture.nodes)
    return "\n".join([*parts, "</g></svg>\n"])


def _node(node: Node, at: Point, width: float) -> str:
    kind = "missing" if node.kind == "missing" else node.state or node.kind
    classes = " ".join(filter(None, ("node", kind, "critical" if node.critical else "")))
    note = f"{node.id}: {node.note}" if node.note else node.id + (" (missing)" if node.kind == "missing" else "")
    return (
        f'<g class="{classes}" data-id="{escape(node.id)}"><title>{escape(note)}</title>'
        f'<rect x="{_n(at[0] - width / 2)}" y="{_n(at[1] - _HEIGHT / 2)}" width="{_n(width)}" height="{_n(_HEIGHT)}" '
        f'fill="{_FILLS[kind]}"/>'
        f'<text x="{_n(at[0])}" y="{_n(at[1] + 4.5)}" text-anchor="middle">{escape(node.label)}</text></g>'
    )


def _edge(edge: Edge, points: tuple[Point, ...], widths: dict[str, float], missing: bool) -> str:
    first, last = points[0], points[-1]
    leftwards = first[0] >= last[0]
    start = (first[0] - widths[edge.source] / 2 if leftwards else first[0] + widths[edge.source] / 2, first[1])
    end = (last[0] + widths[edge.target] / 2 if leftwards else last[0] - widths[edge.target] / 2, last[1])
    path = [start, *points[1:-1], end]
    line = f"M{_n(path[0][0])} {_n(path[0][1])}"
    for one, other in pairwise(path):
        middle = (one[0] + other[0]) / 2
        line += f"C{_n(middle)} {_n(one[1])} {_n(middle)} {_n(other[1])} {_n(other[0])} {_n(other[1])}"
    classes = " ".join(
        filter(None, ("missing" if missing else "", "belongs" if edge.belongs else "", "critical" if edge.critical else ""))
    )
    where = f'data-from="{escape(edge.source)}" data-to="{escape(edge.target)}"'
    told = f"<title>{escape(f'{edge.source} needs {edge.target}')}</title>"
    style = f' class="{classes}"' if classes else ""
    drawn = f'<path{style} {where} d="{line}" marker-end="url(#arrow)">{told}</path>'
    if edge.variants:
        at = path[len(path) // 2] if len(path) > 2 else ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        label = escape(",".join(edge.variants))
        drawn += f'<text class="label" x="{_n(at[0])}" y="{_n(at[1] - 4)}" text-anchor="middle">{label}</text>'
    return drawn


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title><style>
html,body{{margin:0;height:100%;overflow:hidden;background:#f8fafc;font:14px system-ui,sans-serif}}
#bar{{position:fixed;top:8px;left:8px;background:#fff;border:1px solid #cbd5e1;border-radius:8px;padding:6px 10px;z-index:1}}
#bar input{{border:1px solid #cbd5e1;border-radius:4px;padding:3px 6px;width:16em}}
#bar span{{color:#475569;margin-left:8px}}
#stage{{width:100%;height:100%;cursor:grab}}
#stage svg{{width:100%;height:100%}}
.dim .node:not(.lit),.dim path:not(.lit):not(marker path){{opacity:.12}}
.lit rect{{stroke-width:2.5}}
</style></head><body>
<div id="bar"><input id="find" type="search" placeholder="find a package" aria-label="find a package"><span>{about}</span></div>
<div id="stage">{svg}</div>
<script>
const svg = document.querySelector("#stage svg"), box = svg.viewBox.baseVal, whole = [box.x, box.y, box.width, box.height];
svg.addEventListener("wheel", event => {{
  event.preventDefault();
  const scale = event.deltaY > 0 ? 1.15 : 1 / 1.15, area = svg.getBoundingClientRect();
  const fx = (event.clientX - area.left) / area.width, fy = (event.clientY - area.top) / area.height;
  box.x += box.width * fx * (1 - scale); box.y += box.height * fy * (1 - scale); box.width *= scale; box.height *= scale;
}}, {{passive: false}});
let held = null;
svg.addEventListener("pointerdown", event => {{ held = [event.clientX, event.clientY, box.x, box.y, false]; }});
addEventListener("pointermove", event => {{
  if (!held) return;
  const unit = Math.max(box.width / svg.clientWidth, box.height / svg.clientHeight);
  if (Math.abs(event.clientX - held[0]) + Math.abs(event.clientY - held[1]) > 4) held[4] = true;
  box.x = held[2] - (event.clientX - held[0]) * unit; box.y = held[3] - (event.clientY - held[1]) * unit;
}});
addEventListener("pointerup", event => {{
  const moved = held && held[4]; held = null;
  if (moved) return;
  const node = event.target.closest && event.target.closest(".node");
  light(node ? [node.dataset.id] : []);
}});
svg.addEventListener("dblclick", () => {{ [box.x, box.y, box.width, box.height] = whole; }});
const nodes = [...svg.querySelectorAll(".node")], edges = [...svg.querySelectorAll("path[data-from]")];
function reach(ids, from, to) {{
  const found = new Set(ids); let more = true;
  while (more) {{ more = false; for (const edge of edges) if (found.has(edge.dataset[from]) && !found.has(edge.dataset[to])) {{
    found.add(edge.dataset[to]); more = true; }} }}
  return found;
}}
function light(ids) {{
  document.querySelectorAll(".lit").forEach(each => each.classList.remove("lit"));
  svg.classList.toggle("dim", ids.length > 0);
  if (!ids.length) return;
  const down = reach(ids, "from", "to"), up = reach(ids, "to", "from");
  for (const node of nodes) if (down.has(node.dataset.id) || up.has(node.dataset.id)) node.classList.add("lit");
  for (const edge of edges) {{ const {{from, to}} = edge.dataset;
    if ((down.has(from) && down.has(to)) || (up.has(from) && up.has(to))) edge.classList.add("lit"); }}
}}
document.querySelector("#find").addEventListener("input", event => {{
  const text = event.target.value.trim().toLowerCase();
  light(text ? nodes.filter(node => node.dataset.id.toLowerCase().includes(text)).map(node => node.dataset.id) : []);
}});
</script></body></html>
"""


def page(picture: Picture, *, title: str = "Dependencies of packages") -> str:
    """One self-contained page: wheel to zoom, drag to move, click on a package for what it needs and who needs it."""
    packages = sum(node.kind == "package" for node in picture.nodes)
    missing = sum(node.kind == "missing" for node in picture.nodes)
    about = f"{packages} packages" + (f", {missing} missing" if missing else "")
    return _PAGE.format(title=escape(title), about=escape(about), svg=svg(picture, title=title))
