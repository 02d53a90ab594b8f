"""Steps in the original's form: an executable file whose name is its number, run with the same environment.

Such a script must write the number after its own into ConfigMap ``cozystack-version`` as its last action. One that ends with 0
and has not done so left work undone, and counts as failed (packages-M1). What it would change cannot be told beforehand.
Comments at its head may say what it is for and what the way back is: ``# about: TEXT`` and ``# way-back: TEXT``.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cozystack.api.resources import CONFIG_MAPS
from cozystack.migrate.access import Access, Cluster
from cozystack.migrate.changes import Plan
from cozystack.migrate.step import BadStep, Environment, Step, StepFailed, digest_of, load_module
from cozystack.planner.ledger import VERSION_NAME, StepId

_GRACE = 10.0
_LAST_LINES = 5
_DECLARED = re.compile(r"#\s*(about|way-back):\s*(.*\S)\s*")


@dataclass(frozen=True, slots=True)
class ScriptStep:
    """A step that is a program. Its name in the ledger is ``script-NUMBER``."""

    id: StepId
    path: Path
    digest: str
    about: str = "A script"
    way_back: str | None = None
    accesses: tuple[Access, ...] = (Access(CONFIG_MAPS, ("get",), (VERSION_NAME,), own_namespace=True),)

    async def plan(self, cluster: Cluster) -> Plan:
        return Plan(left=[f"what {self.path.name} changes is not known before it runs"])

    async def run(self, cluster: Cluster, environment: Environment) -> Plan:
        code, words = await _execute(self.path, environment)
        if code != 0:
            raise StepFailed(f"it ended with {code}: {words}" if words else f"it ended with {code} and said nothing")
        written = await cluster.find(CONFIG_MAPS, VERSION_NAME)
        version = str(((written or {}).get("data") or {}).get("version", ""))
        if not version.isdecimal() or int(version) <= self.id.number:
            raise StepFailed(
                f"it ended with 0 without writing version {self.id.number + 1}, so it left something undone"
                + (f": {words}" if words else "")
            )
        return Plan()


def folder_steps(folder: Path) -> list[Step]:
    """The modules and scripts in a folder; none when it does not exist. Raises ``BadStep``."""
    if not folder.is_dir():
        return []
    found: list[Step] = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and not path.name.startswith("_"):
            found.append(load_module(path))
        elif path.is_file() and path.name.isdecimal():
            found.append(_script(path))
    return found


def _script(path: Path) -> ScriptStep:
    """A script with what its head says of it; without a word about it, there is no way back."""
    said: dict[str, str] = {}
    for line in path.read_bytes().decode(errors="replace").splitlines():
        if not line.startswith("#"):
            break
        declared = _DECLARED.fullmatch(line)
        if declared is not None:
            said[declared[1]] = declared[2]
    number = int(path.name)
    return ScriptStep(
        StepId(number, f"script-{number}"), path, digest_of(path), said.get("about", "A script"), said.get("way-back")
    )


async def _execute(path: Path, environment: Environment) -> tuple[int, str]:
    """Run a script in a group of its own; its exit code and the end of what it said. Stopped with us."""
    process = await asyncio.create_subprocess_exec(
        *_command(path),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=_environment(os.environ, environment),
        cwd=path.parent,
        start_new_session=True,
    )
    last: list[str] = []
    try:
        if process.stdout is not None:
            async for line in process.stdout:
                text = line.decode(errors="replace").rstrip()
                sys.stdout.write(f"{path.name}: {text}\n")
                last = [*last, text][-_LAST_LINES:]
        code = await process.wait()
    finally:
        if process.returncode is None:
            await _stop(process)
    return code, " ".join(filter(None, last))


async def _stop(process: asyncio.subprocess.Process) -> None:
    for number in (15, 9):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(process.wait()), _GRACE)
            return


def _command(path: Path) -> list[str]:
    """The script itself, or what its first line names when the file cannot be executed (a ConfigMap, a read-only disk)."""
    if os.access(path, os.X_OK):
        return [str(path)]
    with path.open("rb") as file:
        first = file.readline().decode(errors="replace").strip()
    if not first.startswith("#!"):
        raise BadStep(f"{path}: is neither executable nor begins with #!")
    return [*shlex.split(first[2:]), str(path)]


def _environment(inherited: Mapping[str, str], environment: Environment) -> dict[str, str]:
    """Specification, packages 8.2."""
    return {
        "ETCD_ADOPT_SKIP_BACKUP": "0",
        **inherited,
        "NAMESPACE": environment.namespace,
        "CURRENT_VERSION": str(environment.current),
        "TARGET_VERSION": str(environment.target),
    }
