"""All events of a resource while something happens, as kubectl's watch tells them, and what must not be seen among them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from support.sandbox import environment

Obj = dict[str, Any]


class Seen(NamedTuple):
    """One event: ADDED, MODIFIED or DELETED, and the object as it was then."""

    type: str
    object: Obj

    @property
    def name(self) -> str:
        metadata = self.object["metadata"]
        return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))


@dataclass(slots=True)
class Watched:
    """Events in their order; complete when the context of ``watching`` has ended."""

    events: list[Seen] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)

    def states(self, of: Callable[[Obj], Hashable]) -> dict[str, list[Any]]:
        """What each object was like, one after the other; what is the same twice in a row counts once."""
        found: dict[str, list[Any]] = {}
        for event in self.events:
            state = "deleted" if event.type == "DELETED" else of(event.object)
            states = found.setdefault(event.name, [])
            if not states or states[-1] != state:
                states.append(state)
        return found

    def changes(self) -> dict[str, int]:
        """How often each object was written, apart from its creation."""
        found: dict[str, int] = {}
        for event in self.events:
            found[event.name] = found.get(event.name, -1) + 1
        return {name: count for name, count in found.items() if count}


@contextmanager
def watching(kubeconfig: Path, *what: str) -> Iterator[Watched]:
    """Everything that happens to ``what`` (arguments of ``kubectl get``) from now on; what is there counts as added."""
    program = Path(sys.executable).parent / "kubectl"
    process = subprocess.Popen(
        [program, "--kubeconfig", kubeconfig, "get", *what, "--watch", "--output-watch-events", "--output=json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    watched = Watched()
    reader = threading.Thread(target=_read, args=(process, watched))
    reader.start()
    try:
        assert watched.begun.wait(30), "the watch has not begun"
        yield watched
        assert process.poll() is None, process.stderr and process.stderr.read()
    finally:
        process.terminate()
        process.wait(10)
        reader.join(10)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _read(process: subprocess.Popen[str], watched: Watched) -> None:
    decoder, text = json.JSONDecoder(), ""
    assert process.stdout is not None
    for line in process.stdout:
        text += line
        if line.startswith(" ") or not line.rstrip().endswith("}"):
            continue  # within an object
        event, _ = decoder.raw_decode(text)
        text = ""
        watched.events.append(Seen(event["type"], event["object"]))
        watched.begun.set()


def flapping(states: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Objects that were once more what they had been before: something was taken away, or set, and put right again."""
    return {name: found for name, found in states.items() if len(found) != len(set(found))}
