"""Record what kube-apiserver's own library answers to random sequences of writes, into ``cases.jsonl``.

Needs Go: ``go build -o /tmp/recorder . && python record.py /tmp/recorder > cases.jsonl``. The sequences are random but always
the same; the tests read the recording alone.
"""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

CASES = 150

Obj = dict[str, Any]


class Objects:
    """Random objects of the schema, and random changes of them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - cases, no secrets
        self._fields: dict[str, Callable[[], Any]] = {
            "a": self._text,
            "n": lambda: self.random.choice((1, 2)),
            "atomicMap": self._map,
            "strMap": self._map,
            "nested": self._nested,
            "list": lambda: [self._text() for _ in range(self.random.randrange(3))],
            "set": self._set,
            "items": self._items,
            "free": self._free,
        }

    def chance(self, share: float = 0.5) -> bool:
        return self.random.random() < share

    def new(self, share: float = 0.3) -> Obj:
        return {name: make() for name, make in self._fields.items() if self.chance(share)}

    def part(self, obj: Obj) -> Obj:
        return self.changed({name: value for name, value in obj.items() if self.chance()})

    def changed(self, obj: Obj, *, repeat: bool = False) -> Obj:
        """``obj`` with one or two fields set anew or taken away; with items that are there twice when ``repeat``."""
        obj = copy.deepcopy(obj)
        for _ in range(self.random.randrange(1, 3)):
            name = self.random.choice(list(self._fields))
            if self.chance(0.3):
                obj.pop(name, None)
            else:
                obj[name] = self._fields[name]()
        if repeat and obj.get("items"):
            obj["items"].append(self._item())
        return obj

    def defaulted(self, obj: Obj) -> Obj:
        """``obj`` with more fields, as defaults of a server add them without an owner."""
        obj = copy.deepcopy(obj)
        if "nested" in obj and self.chance():
            obj["nested"].setdefault("y", "default")
        for item in obj.get("items", ()):
            if self.chance():
                item.setdefault("value", "default")
            for port in item.get("ports", ()):
                port.setdefault("protocol", "TCP")
        if self.chance(0.2):
            obj.setdefault("strMap", {}).setdefault("z", "default")
        return obj

    def _text(self) -> str:
        return self.random.choice("xyz")

    def _some(self, **makers: Callable[[], Any]) -> Obj:
        return {name: make() for name, make in makers.items() if self.chance(0.4)}

    def _map(self) -> Obj:
        return self._some(k=self._text, l=self._text)

    def _nested(self) -> Obj:
        return self._some(x=self._text, y=self._text, sub=lambda: self._some(p=self._text, q=self._text))

    def _set(self) -> list[str]:
        return self.random.sample("stuvw", self.random.randrange(5))

    def _item(self) -> Obj:
        name = self.random.choice("abcd")
        return {"name": name, **self._some(value=self._text, inner=self._map, ports=self._ports)}

    def _items(self) -> list[Obj]:
        return list({item["name"]: item for item in (self._item() for _ in range(self.random.randrange(5)))}.values())

    def _port(self) -> Obj:
        port = {"port": self.random.choice((1, 2))}
        return {**port, **self._some(protocol=lambda: self.random.choice(("TCP", "UDP")), label=self._text)}

    def _ports(self) -> list[Obj]:
        ports = (self._port() for _ in range(self.random.randrange(3)))
        return list({(port["port"], port.get("protocol", "TCP")): port for port in ports}.values())

    def _free(self, depth: int = 2) -> Any:
        kind = self.random.randrange(4 if depth else 2)
        if kind == 0:
            return self._text()
        if kind == 1:
            return self.random.choice((1, True, 2))
        if kind == 2:
            return [self._free(0) for _ in range(self.random.randrange(3))]
        return {name: self._free(depth - 1) for name in "fg" if self.chance()}


def without_nulls(value: Any) -> Any:
    """The library leaves null where a container has become empty; the server drops it."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def cases(ask: Callable[..., Obj], objects: Objects) -> Iterator[list[Obj]]:
    for number in range(CASES):
        ask(Op="reset")
        steps: list[Obj] = []
        live: Obj = {}
        for _ in range(objects.random.randrange(2, 7)):
            op = objects.random.choice(("apply", "apply", "apply", "update", "raw"))
            manager, force = "", False
            if op == "raw":
                obj = objects.defaulted(live)
            elif op == "update":
                obj, manager = objects.changed(live, repeat=number % 5 == 0), objects.random.choice(("u1", "u2"))
            else:
                obj = objects.new() if number % 5 == 0 or objects.chance() else objects.part(live)
                manager, force = objects.random.choice(("a1", "a2")), objects.chance(0.3)
            answer = ask(Op=op, Manager=manager, Force=force, Object=obj)
            live = without_nulls(answer["object"] or {})
            ask(Op="raw", Object=live)
            steps.append(
                {
                    "op": op,
                    "manager": manager,
                    "force": force,
                    "given": obj,
                    "conflicts": answer.get("conflicts", []),
                    "object": live,
                    "managers": answer["managers"],
                }
            )
        yield steps


def main() -> None:
    process = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    asked, answers = process.stdin, process.stdout
    if asked is None or answers is None:
        raise RuntimeError("the recorder has no pipes")

    def ask(**request: Any) -> Obj:
        asked.write(json.dumps(request) + "\n")
        asked.flush()
        answer: Obj = json.loads(answers.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    for steps in cases(ask, Objects(seed=20260101)):
        sys.stdout.write(json.dumps(steps, separators=(",", ":"), sort_keys=True) + "\n")
    asked.close()
    process.wait()


if __name__ == "__main__":
    main()
