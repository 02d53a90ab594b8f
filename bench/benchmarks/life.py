"""A platform's life: installed, updated with a migration, torn down; each as a user does it, in the sandbox.

The platform follows a tag in a registry. *Install* is ``cozystack up`` with a new state folder, from starting Python until
it says that the platform is ready. *Update* is pushing the next version to the tag and ``cozypkg upgrade --wait``: a
migration that writes one object, one chart that has changed, and the platform's own; until both commands have ended, and
only if the migration is done and the release upgraded once. *Teardown* is ``cozypkg teardown``, then ``--all`` for what
that leaves. Time is that of the whole commands.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.figures import Figure, Hold, Scale, not_available
from cozystack.api import yaml
from cozystack.oci import Registry
from cozystack.planner.ledger import read_ledger
from cozystack.sandbox.repository import own_packages

INSTALL = "install, until the platform is ready"
UPDATE = "update with a migration, push to ready"
TEARDOWN = "teardown"
HOLDS = {INSTALL: Hold("<", 20), UPDATE: Hold("<", 15), TEARDOWN: Hold("<", 10)}
TIMEOUT = 300.0
STOPPING = 60.0
CHART = "goldpinger"

_STEP = '''"""Write one object, as a migration would."""

from cozystack.api.resources import CONFIG_MAPS
from cozystack.migrate.access import reads, writes
from cozystack.migrate.changes import Plan, create

NUMBER = {number}
NAME = "bench"
WAY_BACK = "It stays."
READS = (reads(CONFIG_MAPS, "bench", own_namespace=True),)
WRITES = (writes(CONFIG_MAPS, "create", own_namespace=True),)


async def plan(cluster):
    if await cluster.find(CONFIG_MAPS, "bench") is not None:
        return Plan()
    metadata = {{"name": "bench", "namespace": cluster.namespace}}
    return Plan([create(CONFIG_MAPS, {{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}}, "there is none")])
'''
_RIGHTS = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create"]}]


class _Failed(Exception):  # noqa: N818 - it names what happened
    """A step of life did not end well; the text says why."""


def measure(scale: Scale) -> list[Figure]:
    del scale  # there is one size of it
    figures: list[Figure] = []
    with TemporaryDirectory(prefix="bench-") as folder:
        try:
            asyncio.run(_live(Path(folder), figures))
        except _Failed as error:
            there = {figure.name for figure in figures}
            figures += [not_available(name, "s", str(error), hold) for name, hold in HOLDS.items() if name not in there]
    return figures


async def _live(folder: Path, figures: list[Figure]) -> None:
    registry = Registry(folder / "registry")
    source = f"oci://127.0.0.1:{await registry.start()}/platform:bench"
    try:
        await asyncio.to_thread(_steps, folder, source, figures)
    finally:
        await registry.stop()


def _steps(folder: Path, source: str, figures: list[Figure]) -> None:
    """The three, one after the other; raises ``_Failed``."""
    old, new = _versions(folder)
    values = folder / "values.yaml"
    values.write_text(yaml.dump({"migrations": {"folder": str(folder / "steps"), "extraRules": _RIGHTS}}))
    _run("cozypkg", "push", str(old), source, "--insecure")
    state = folder / "state"
    environment = {**os.environ, "KUBECONFIG": str(state / "kubeconfig")}
    began = time.monotonic()
    sandbox = subprocess.Popen(
        [_program("cozystack"), "up", "--state-dir", state, "--platform-source", source, "--insecure", "--values", values],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _read_until(sandbox, "The platform is ready")
        figures.append(Figure(INSTALL, time.monotonic() - began, "s", HOLDS[INSTALL]))
        began = time.monotonic()
        _run("cozypkg", "push", str(new), source, "--insecure")
        _run("cozypkg", "upgrade", "--yes", "--wait", "--timeout", "3m", env=environment)
        seconds = time.monotonic() - began
        _check(environment)
        figures.append(Figure(UPDATE, seconds, "s", HOLDS[UPDATE]))
        began = time.monotonic()
        context = _run("kubectl", "config", "current-context", env=environment).strip()
        _run("cozypkg", "teardown", "--confirm", context, env=environment)
        figures.append(Figure(TEARDOWN, time.monotonic() - began, "s", HOLDS[TEARDOWN]))
        began = time.monotonic()
        _run("cozypkg", "teardown", "--all", "--confirm", context, env=environment)
        figures.append(Figure("teardown of what it leaves, --all", time.monotonic() - began, "s"))
    finally:
        _stop(sandbox)


def _versions(folder: Path) -> tuple[Path, Path]:
    """Two repositories: this checkout's, and the next with a step more and one chart changed."""
    own = own_packages()
    if own is None:
        raise _Failed("there is no checkout with packages")
    new, steps = folder / "new", folder / "steps"
    shutil.copytree(own, new)
    steps.mkdir()
    chart, settings = new / "system" / CHART / "Chart.yaml", new / "core/platform/values.yaml"
    chart.write_text(chart.read_text() + "keywords: [bench]\n")
    text = settings.read_text()
    number = yaml.load(text)["migrations"]["targetVersion"]
    settings.write_text(text.replace(f"  targetVersion: {number}\n", f"  targetVersion: {number + 1}\n"))
    (steps / "bench.py").write_text(_STEP.format(number=number))
    return own, new


def _check(environment: dict[str, str]) -> None:
    """The migration ran and the chart was upgraded, once."""
    held = _get(environment, "-n", "cozy-system", "configmap", "cozystack-migrations")
    outcomes = {step.name: record.outcome for step, record in read_ledger(held["data"]).records.items()}
    release = _get(environment, "-n", f"cozy-{CHART}", "helmrelease", CHART)
    if (outcomes, release["status"]["history"][0]["version"]) != ({"bench": "done"}, 2):
        raise _Failed(f"after the update: {outcomes}, revision {release['status']['history'][0]['version']} of {CHART}")


def _get(environment: dict[str, str], *what: str) -> Any:
    return msgspec.json.decode(_run("kubectl", "get", *what, "--output", "json", env=environment))


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _run(name: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """What a program prints; raises ``_Failed``."""
    done = subprocess.run(
        [_program(name), *arguments],
        capture_output=True,
        text=True,
        env=env,
        timeout=TIMEOUT,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise _Failed(f"{name} {arguments[0]}: exit code {done.returncode}: {said}")
    return done.stdout


def _read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    last = ""
    for line in process.stdout:
        if text in line:
            return
        last = line.strip() or last
    raise _Failed(f"cozystack up: {last}")


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    assert process.stdout is not None
    process.stdout.read()
    try:
        process.wait(STOPPING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
