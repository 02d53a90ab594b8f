"""The dependency graph as something to look at.

===========  =========================================================================
``picture``  what is drawn: nodes and edges, chosen from a view
``text``     DOT, Mermaid, a tree
``layout``   where each node goes: layers, order, coordinates
``svg``      a drawing, and a page around it that can be moved and searched
===========  =========================================================================

Pure: the same picture for the same view, byte for byte (cozypkg-D6).
"""

from __future__ import annotations

from cozystack.planner.drawing.picture import Edge, Node, Picture, picture

__all__ = ["Edge", "Node", "Picture", "picture"]
