"""Golden outputs as data: stories of commands, and all that they print.

A story is ``tests/cases/cozypkg/NAME.yaml`` (what is done) and ``NAME.txt`` (what is printed). Each begins on a server of
its own, over TLS, with the platform of ``support.platform`` (or what ``cluster`` names), in an empty folder. ``about`` is a
sentence; ``files`` are written into the folder; with ``registry`` there is one at ``REGISTRY``, with ``slow``
it takes seconds. A step is the arguments of a call, or a map:

* ``run``: the arguments, with ``stdin`` (``<`` and a name: that file), ``terminal: true`` (somebody sits there and types
  ``stdin``), ``screen: true`` (standard output is a terminal), ``into`` (a file that gets standard output), ``lines`` (how many
  are shown; the digest stands for the rest)
* ``put``: objects that somebody creates, ``patch``/``delete``: ``Kind name``, with ``with`` (a merge patch) and ``subresource``
* ``answer``: method, part of the path, code, reason and message with which the server answers from now on; ``heal`` ends it

``python -m support.stories`` (in ``tests``) writes what is printed now; read the difference before it is committed. Standard
error is marked with ``!``, an exit code that is not 0 stands at the end; what differs from run to run is replaced.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cozystack.api import yaml
from cozystack.apiserver import pki
from cozystack.apiserver.storage import Storage
from cozystack.kube import SystemClock
from support.cluster import Cluster, running_cluster
from support.cozypkg import call
from support.operator import copied
from support.platform import platform
from support.registry import running_registry

CASES = Path(__file__).parents[1] / "cases" / "cozypkg"
NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)
_KEYS = {"about", "slow", "cluster", "registry", "files", "steps"}
_REPLACED = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
    (r"(python\"?:? \"?)3\.\d+\.\d+", r"\1<version>"),
    (r"\bhttps?://127\.0\.0\.1:\d+", "<server>"),
    (r"(resourceVersion[\"']?: [\"'])\d+", r"\1<version>"),
)


class _Clock(SystemClock):
    """The machine's clock, but for the time of day: an hour after the platform was made."""

    def now(self) -> datetime:
        return NOW


def stories() -> list[str]:
    return sorted(file.stem for file in CASES.glob("*.yaml"))


def load(name: str) -> dict[str, Any]:
    file = CASES / f"{name}.yaml"
    story: dict[str, Any] = dict(yaml.load(file.read_bytes(), source=file.name))
    if story.keys() - _KEYS or not {"about", "steps"} <= story.keys():
        raise ValueError(f"{file.name}: a story has {', '.join(sorted(_KEYS))}")
    story["steps"] = [step if isinstance(step, dict) else {"run": step} for step in story["steps"]]
    return story


def recorded(name: str) -> str:
    return (CASES / f"{name}.txt").read_text()


def commands(name: str) -> Iterator[list[str]]:
    """The arguments of every call of a story."""
    for step in load(name)["steps"]:
        if "run" in step:
            yield shlex.split(step["run"])


def perform(name: str, folder: Path, keys: pki.Pki) -> str:
    """What the commands of a story print now; ``folder`` is empty."""
    story = load(name)
    place = folder / "work"
    place.mkdir()
    for file, text in story.get("files", {}).items():
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(text)
    with ExitStack() as stack:
        registry = stack.enter_context(running_registry(folder / "registry")) if story.get("registry") else ""
        cluster = stack.enter_context(_cluster(story.get("cluster", "platform"), folder, keys))
        stack.enter_context(_inside(place))
        hooks = list(cluster.server.hooks)
        told = [_step(step, cluster, place, hooks, registry) for step in story["steps"]]
    return f"# {story['about']}\n\n" + "\n".join(filter(None, told))


@contextmanager
def _cluster(kind: str, folder: Path, keys: pki.Pki) -> Iterator[Cluster]:
    if kind not in ("platform", "empty", "bare"):
        raise ValueError(f"there is no cluster {kind}")
    storage = _platform() if kind == "platform" else None
    with running_cluster(folder, installed=kind != "bare", storage=storage, pki=keys) as cluster:
        yield cluster


@cache
def _model() -> Storage:
    return asyncio.run(platform())


def _platform() -> Storage:
    model = _model()
    return copied([stored for resource in model.resources() for stored in model.objects(resource)])


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _step(step: dict[str, Any], cluster: Cluster, place: Path, hooks: list[Any], registry: str) -> str:
    if "run" in step:
        return _called(step, cluster, place, registry)
    if "put" in step:
        cluster.put(step["put"])
    elif "answer" in step:
        method, path, code, reason, message = step["answer"]
        cluster.answers(method, path, code, reason, message)
    elif "heal" in step:
        cluster.server.hooks[:] = hooks
    elif "patch" in step:
        kind, namespace, name = _named(step["patch"])
        patch = cluster.patch(kind, name, step["with"], subresource=step.get("subresource", ""), namespace=namespace)
        cluster.do(patch)
    else:
        kind, namespace, name = _named(step["delete"])
        cluster.do(cluster.delete(kind, name, namespace=namespace))
    return ""


def _named(text: str) -> tuple[str, str, str]:
    kind, _, where = text.partition(" ")
    namespace, _, name = where.rpartition("/")
    return kind, namespace, name


def _called(step: dict[str, Any], cluster: Cluster, place: Path, registry: str) -> str:
    given = str(step.get("stdin", ""))
    shown = f" <<< {given!r}" if given else ""
    if given.startswith("<"):
        shown = f" {given}"
        given = (place / given[1:].strip()).read_text()
    result = call(
        *(argument.replace("REGISTRY", registry) for argument in shlex.split(step["run"])),
        stdin=given,
        terminal=step.get("terminal", False),
        screen=step.get("screen", False),
        kubeconfig=cluster.kubeconfig,
        clock=_Clock(),
    )
    into = step.get("into", "")
    if into:
        (place / into).write_text(result.out)
        shown += f" > {into}"
    out = "" if into else _cut(_comparable(result.out, place, registry), step.get("lines"))
    err = "".join(f"! {text}\n" for text in _comparable(result.err, place, registry).splitlines())
    code = f"(exit {result.code})\n" if result.code else ""
    return f"$ cozypkg {step['run']}{shown}\n{out}{err}{code}"


def _comparable(text: str, place: Path, registry: str) -> str:
    """Without what differs from one run to the next; colours as something that an editor shows."""
    text = text.replace("\x1b[", "␛[").replace(f"{place.parent}/", "")
    text = text.replace(registry, "REGISTRY") if registry else text
    for pattern, replacement in _REPLACED:
        text = re.sub(pattern, replacement, text)
    return text


def _cut(out: str, lines: int | None) -> str:
    """The first lines, and what the rest is by its digest."""
    found = out.splitlines(keepends=True)
    if lines is None or len(found) <= lines:
        return out
    rest = "".join(found[lines:])
    return "".join(found[:lines]) + f"... {len(found) - lines} more lines, sha256 {sha256(rest.encode()).hexdigest()[:16]}\n"


def main() -> None:
    wanted = sys.argv[1:] or stories()
    with tempfile.TemporaryDirectory() as folder:
        keys = pki.ensure(Path(folder) / "pki", datetime.now(UTC))
        for name in wanted:
            place = Path(folder) / name
            place.mkdir()
            text = perform(name, place, keys)
            with suppress(FileNotFoundError):
                if recorded(name) == text:
                    continue
            (CASES / f"{name}.txt").write_text(text)
            sys.stdout.write(f"{name} was written\n")


if __name__ == "__main__":
    main()
