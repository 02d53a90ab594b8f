"""Every key of every JSON document is described, of the type that is told, and there; and what is described exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cozystack.cozypkg.formats import FORMATS, OBJECTS, rows
from cozystack.cozypkg.holding import Return
from cozystack.cozypkg.main import COMMANDS
from support.stories import recorded, stories

TYPES = {"text": str, "number": int | float, "flag": bool, "map": dict, "list": list, "null": type(None)}


@dataclass
class Node:
    """What is said of one place of a document; ``type`` is empty where nothing is."""

    path: str
    type: str = ""
    optional: bool = False
    open: bool = False
    keys: dict[str, Node] = field(default_factory=dict)
    element: Node | None = None
    seen: bool = False

    def every(self) -> Iterator[Node]:
        yield self
        for child in (*self.keys.values(), *([self.element] if self.element is not None else ())):
            yield from child.every()


def described(document: str) -> Node:
    """The rows of a document as a tree."""
    root = Node("")
    for path, kind, meaning in rows(document):
        assert meaning.strip()
        place, more, _ = path.partition("....")
        node = root
        for step in re.findall(r"\[\]|[^.\[\]]+", place):
            if step == "[]":
                node.element = node.element or Node(f"{node.path}[]")
                node = node.element
            else:
                name = step.rstrip("?")
                node = node.keys.setdefault(name, Node(f"{node.path}.{name}".lstrip(".")))
                node.optional = node.optional or step.endswith("?")
        if more:
            node.open = True
        else:
            node.type = kind
    return root


def check(node: Node, value: Any) -> None:
    node.seen = True
    if node.type and node.type != "any":
        fits(node, value)
    if isinstance(value, dict) and node.type != "any":
        known = set(node.keys) - {"*"}
        extra = value.keys() - known
        if "*" in node.keys:
            for key in extra:
                check(node.keys["*"], value[key])
        else:
            assert node.open or not extra, f"{node.path} has {sorted(extra)}, of which nothing is said"
        for key in known:
            assert key in value or node.keys[key].optional, f"{node.path} lacks {key}"
            if key in value:
                check(node.keys[key], value[key])
    elif isinstance(value, list) and node.element is not None:
        for each in value:
            check(node.element, each)


def fits(node: Node, value: Any) -> None:
    for kind in node.type.split(" or "):
        if kind == "list of text":
            if isinstance(value, list) and all(isinstance(each, str) for each in value):
                return
        elif kind == "list of lists of text":
            if isinstance(value, list) and all(isinstance(part, str) for each in value for part in each):
                return
        elif isinstance(value, TYPES[kind]) and (kind == "flag") == isinstance(value, bool):
            return
    raise AssertionError(f"{node.path} is {value!r}, and said to be {node.type}")


def documents() -> dict[str, list[Any]]:
    """The JSON documents in all stories, by what printed them."""
    found: dict[str, list[Any]] = {name: [] for name in FORMATS}
    for name in stories():
        for part in re.split(r"(?m)^(?=\$ cozypkg )", recorded(name))[1:]:
            line, _, rest = part.partition("\n")
            text = re.split(r"(?m)^(?:! |\(exit |\.\.\. )", rest)[0].strip()
            command = line.split()[2]
            if not re.search(r"(?:-o|--format) json\b", line) or not text or command in OBJECTS:
                continue
            document = "lint --rules" if "--rules" in line else command
            if "\n... " in rest:
                # The first elements of a list are enough.
                text = text[: text.rindex("  },")] + "  }\n]"
            found[document].append(json.loads(text))
    release = Return(release="a/b", component="b", now=2, now_chart="b-1", to=1, to_chart="b-0")
    found["rollback"].append({"done": False, "releases": [msgspec.to_builtins(release)]})
    return found


ALL = documents()


@pytest.mark.parametrize("document", FORMATS)
def test_what_is_described_is_what_is_printed(document: str) -> None:
    tree = described(document)
    assert ALL[document]
    for value in ALL[document]:
        check(tree, value)
    unseen = [node.path for node in tree.every() if node.type and not node.seen]
    assert unseen == []


def test_every_command_that_prints_json_is_described() -> None:
    printing = set()
    for name in COMMANDS:
        text = (Path(__file__).parents[2] / "docs" / "cozypkg.md").read_text()
        section = text.partition(f"\n## cozypkg {name}\n")[2].partition("\n## ")[0]
        if re.search(r"`(?:-o, --output|--format) \[[^\]]*json", section):
            printing.add(name)
    assert {document.partition(" ")[0] for document in FORMATS} | set(OBJECTS) == printing
