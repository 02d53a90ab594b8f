"""What a step is, and where steps come from.

A step is a Python module that declares

==============  ============================================================================================
``NUMBER``      its place in the order; the version is one higher when it is done
``NAME``        what it is recorded by, for ever: ``[a-z0-9-]``
``READS``       what it looks at, ``WRITES`` what it changes: see ``access``
``WAY_BACK``    what an older release makes of its work, one sentence; None when there is no way back
``plan``        ``async def plan(cluster) -> Plan``: what it would do now; it writes nothing
``run``         optional, ``async def run(cluster) -> None``; without it the changes of ``plan`` are performed
==============  ============================================================================================

and whose docstring says in its first line what it does. After it ran, ``plan`` must find nothing to change: that is what "done"
means. The steps of this release are the modules of ``cozystack.migrate.steps``. A folder can hold more: modules, and scripts in
the original's form, files whose name is their number.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from cozystack.migrate import steps as own
from cozystack.migrate.access import Access, Cluster
from cozystack.migrate.changes import Plan, settle
from cozystack.planner.ledger import StepId

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class BadStep(Exception):  # noqa: N818 - it names a state
    """A file that should be a step and is none; the sentence names it and what is missing."""


class StepFailed(Exception):  # noqa: N818 - it names what happened
    """A step did not do what it should; one sentence."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What a script is told besides the cluster's address."""

    namespace: str
    current: int
    target: int


class Step(Protocol):
    """One step, of whatever form."""

    @property
    def id(self) -> StepId: ...
    @property
    def about(self) -> str: ...
    @property
    def way_back(self) -> str | None: ...
    @property
    def accesses(self) -> tuple[Access, ...]: ...
    @property
    def digest(self) -> str: ...

    async def plan(self, cluster: Cluster) -> Plan:
        """What it would do now."""

    async def run(self, cluster: Cluster, environment: Environment) -> Plan:
        """Do it; what is left afterwards. Raises ``StepFailed`` when it is not done."""


@dataclass(frozen=True, slots=True)
class ModuleStep:
    """A step that is a Python module."""

    id: StepId
    about: str
    way_back: str | None
    accesses: tuple[Access, ...]
    digest: str
    plan_function: Callable[[Cluster], Awaitable[Plan]]
    run_function: Callable[[Cluster], Awaitable[None]] | None

    async def plan(self, cluster: Cluster) -> Plan:
        return await self.plan_function(cluster)

    async def run(self, cluster: Cluster, environment: Environment) -> Plan:
        if self.run_function is None:
            return await settle(self.plan_function, cluster)
        await self.run_function(cluster)
        rest = await self.plan_function(cluster)
        if rest.changes:
            raise StepFailed(f"it ended, and there is still to do: {rest.changes[0]}")
        return rest


def own_steps() -> list[Step]:
    """The steps of this release, by number."""
    names = sorted(module.name for module in pkgutil.iter_modules(own.__path__))
    return in_order(module_step(importlib.import_module(f"{own.__name__}.{name}")) for name in names)


def in_order(steps: Iterable[Step]) -> list[Step]:
    """Steps by number; raises ``BadStep`` when two have one number or one name."""
    found = sorted(steps, key=lambda step: step.id)
    for what in ("number", "name"):
        seen: dict[Any, StepId] = {}
        for step in found:
            value = getattr(step.id, what)
            if value in seen:
                raise BadStep(f"two steps have the {what} {value}: {seen[value]} and {step.id}")
            seen[value] = step.id
    return found


def module_step(module: ModuleType) -> ModuleStep:
    """The step that a module declares; raises ``BadStep``."""
    declared = _Declared(module)
    number, name = declared.get("NUMBER", int), declared.get("NAME", str)
    if number < 1 or _NAME.fullmatch(name) is None:
        declared.fail(f"has number {number} and name {name!r}; a step is numbered from 1 and named by [a-z0-9-]")
    if not hasattr(module, "WAY_BACK") or not (module.WAY_BACK is None or isinstance(module.WAY_BACK, str)):
        declared.fail("has no WAY_BACK: what an older release makes of its work, or None")
    plan: Any = getattr(module, "plan", None)
    run: Any = getattr(module, "run", None)
    if not inspect.iscoroutinefunction(plan) or (run is not None and not inspect.iscoroutinefunction(run)):
        declared.fail("has no `async def plan(cluster)`, or a `run` that is not async")
    return ModuleStep(
        id=StepId(number, name),
        about=(module.__doc__ or "").strip().partition("\n")[0] or declared.fail("has no docstring"),
        way_back=module.WAY_BACK,
        accesses=(*declared.get("READS", tuple), *declared.get("WRITES", tuple)),
        digest=digest_of(Path(module.__file__ or "")),
        plan_function=plan,
        run_function=run,
    )


def load_module(path: Path) -> ModuleStep:
    """The step in a Python file that is not part of a package."""
    spec = importlib.util.spec_from_file_location(f"cozystack_migration_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadStep(f"{path}: cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadStep(f"{path}: cannot be loaded: {type(error).__name__}: {error}") from error
    return module_step(module)


def digest_of(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


class _Declared:
    """What a module says of itself."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def get(self, name: str, kind: type[Any]) -> Any:
        value = getattr(self._module, name, None)
        if not isinstance(value, kind) or isinstance(value, bool):
            self.fail(f"has no {name}, or one that is not {'an' if kind is int else 'a'} {kind.__name__}")
        return value

    def fail(self, fault: str) -> Any:
        where = self._module.__file__ or self._module.__name__
        raise BadStep(f"{where if where not in sys.modules else self._module.__name__}: {fault}")
