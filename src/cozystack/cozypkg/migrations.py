"""What a version of the package repository means for the migrations of a platform: read, and said in words.

The version that runs is asked of the cluster (ConfigMap ``cozystack-version`` and the ledger); without one, of the repository
that runs. What is to come is in the new repository: the chart's ``migrations.yaml`` and the values of the platform.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from cozystack.api import yaml
from cozystack.api.resources import CONFIG_MAPS
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.planning import is_of_platform
from cozystack.cozypkg.repository import PLATFORM, platform_source
from cozystack.helm import deep_merge
from cozystack.planner.ledger import Ledger, MalformedLedger, ledger_key, read_ledger, version_key
from cozystack.planner.migrationplan import Declared, DeclaredStep, MigrationPlan, PlannedStep, plan_migrations
from cozystack.planner.migrations import Seen

if TYPE_CHECKING:
    from cozystack.cozypkg.repository import Repository
    from cozystack.cozypkg.world import World
    from cozystack.kube import Client

_ALIKE = "an older release cannot be relied on afterwards"


class _File(msgspec.Struct, rename="camel"):
    """``migrations.yaml`` of the platform's chart, as far as it is of use here."""

    oldest_version: int = 0
    steps: tuple[DeclaredStep, ...] = ()


class _Settings(msgspec.Struct, rename="camel"):
    """``migrations`` of the platform's values."""

    enabled: bool = False
    target_version: int = 0


async def migrations_between(
    before: World,
    client: Client | None,
    repositories: tuple[Repository | None, Repository],
    variant: str,
    values: Mapping[str, Any],
) -> MigrationPlan | None:
    """What the second repository means where the first runs; None where it knows no migrations. Raises ``CommandError``."""
    old, new = repositories
    wanted = declared(new, variant, values)
    running = declared(old, variant, values) if old is not None else None
    if wanted is None:
        return None
    seen = await _seen(before, client) if client is not None else None
    if seen is None:
        if running is None:
            return None
        seen = Seen(str(running.target), None)
    return plan_migrations(seen, wanted, running)


def declared(repository: Repository, variant: str, values: Mapping[str, Any]) -> Declared | None:
    """What a repository says of its migrations, with the values that it is installed with; None where it says nothing."""
    merged: Any = {}
    component = platform_source(variant).spec.variants[0].components[0]
    for name in component.values_files:
        merged = deep_merge(merged, _document(repository, name) or {})
    found = deep_merge(merged, dict(values)).get("migrations") or {}
    try:
        settings = msgspec.convert(found, _Settings)
        file = msgspec.convert(_document(repository, "migrations.yaml") or {}, _File)
    except msgspec.ValidationError as error:
        raise CommandError(f"{repository.place(PLATFORM)}: migrations: {error}") from error
    if not settings.target_version:
        return None
    return Declared(settings.target_version, file.oldest_version, file.steps, settings.enabled)


def _document(repository: Repository, file: str) -> Any:
    path = f"{PLATFORM}/{file}"
    content = repository.files.get(path)
    try:
        return None if content is None else yaml.load(content, source=repository.place(path))
    except yaml.YamlError as error:
        raise CommandError(str(error)) from error


async def _seen(before: World, client: Client) -> Seen | None:
    """Version and ledger of the cluster; None where they may not be read."""
    from cozystack.kube.errors import Forbidden

    try:
        version = await client.find(CONFIG_MAPS, version_key())
        held = await client.find(CONFIG_MAPS, ledger_key())
    except Forbidden as error:
        before.warnings.append(f"the version of the platform cannot be told: {error.message}")
        return None
    ledger: Ledger | None = None
    try:
        ledger = None if held is None else read_ledger(held.data)
    except MalformedLedger as error:
        before.warnings.append(f"the migrations of an update would stop: {error}")
    installed = any(map(is_of_platform, before.packages.values())) or any(map(is_of_platform, before.sources.values()))
    return Seen(None if version is None else version.data.get("version", ""), ledger, installed)


def as_json(plan: MigrationPlan) -> dict[str, Any]:
    """``oneWay`` names the steps without a way back, ``rollback`` says that the cluster is at a later version."""
    value: dict[str, Any] = msgspec.to_builtins(plan)
    return {**value, "rollback": plan.back, "oneWay": [str(step) for step in plan.one_way]}


def lines(plan: MigrationPlan) -> Iterator[str]:
    """The plan for people, line by line; nothing where nothing runs and nothing stays."""
    if plan.empty:
        return
    if plan.run or plan.refused:
        yield f"Migrations, from version {_number(plan.version)} to {plan.target}, before any package moves:"
        if plan.refused:
            yield f"  The update would stop here: {plan.refused}."
            yield f"    to go on, {plan.advice}"
        elif not plan.enabled:
            yield "  They are off (migrations.enabled is false), so these would not run:"
        for step in plan.run:
            yield from _step(step)
        yield ""
    if plan.behind:
        yield f"This goes BACK, from version {plan.version} to {plan.target}. What migrations have done stays done:"
        for step in plan.behind:
            yield from _step(step)
        yield f"  The cluster keeps version {plan.version}, so that an update does not run them again."
        yield ""
    if plan.one_way:
        yield f"THERE IS NO WAY BACK from {', '.join(map(str, plan.one_way))}: {_ALIKE}."
        yield ""


def _number(version: int | None) -> str:
    return "unknown" if version is None else str(version)


def _step(step: PlannedStep) -> Iterator[str]:
    if not step.described:
        name = f"{step}: " if step.name else f"{step.number}: "
        yield f"  {name}nobody says what it does; `cozystack-migrate plan` of its image does"
    else:
        yield f"  {step}{': ' if step.about else ''}{step.about}"
    if step.reads:
        yield f"      reads {'; '.join(step.reads)}"
    if step.writes:
        yield f"      writes {'; '.join(step.writes)}"
    yield f"      way back: {step.way_back or 'NONE'}"


__all__ = ["as_json", "declared", "lines", "migrations_between"]
