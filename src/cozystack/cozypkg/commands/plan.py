"""``cozypkg plan``: what a change would do, before anything is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from cozystack.api import names
from cozystack.api.flux import OCIRepository
from cozystack.api.meta import Key
from cozystack.api.resources import SECRETS
from cozystack.cozypkg.changing import Changes, edits_for
from cozystack.cozypkg.documents import read_all, values_of_file
from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.options import cluster_options, files_option, output_option
from cozystack.cozypkg.output import write_json
from cozystack.cozypkg.planning import (
    Edit,
    Proposal,
    ReleaseDetail,
    Side,
    apply_edits,
    carried,
    changed_charts,
    compared,
    copied,
    detail,
    edits_of,
    ordered,
    replace_platform,
)
from cozystack.cozypkg.session import Session, awaited
from cozystack.cozypkg.world import EVERYTHING, World, read_cluster, read_files
from cozystack.planner.comparison import Comparison, FieldChange, ObjectChange, ReleaseChange
from cozystack.planner.migrationplan import MigrationPlan
from cozystack.planner.problems import Problem
from cozystack.planner.provenance import ValueChange
from cozystack.planner.sentences import describe, unblock

if TYPE_CHECKING:
    from cozystack.cozypkg.repository import Renderer, Repository
    from cozystack.cozypkg.rollout import Rollout
    from cozystack.kube import Client

_MARKS = {"add": "+", "change": "~", "remove": "-", "install": "+", "upgrade": "~", "update": "~", "move": ">"}
_COLOURS = {"+": "green", "~": "yellow", "-": "red", ">": "red"}


@click.command("plan")
@files_option("Objects as they are to be: Packages and PackageSources; - is standard input.")
@click.option("--add", "added", multiple=True, metavar="NAME[=VARIANT]", help="Install a package. Repeatable.")
@click.option("--del", "deleted", multiple=True, metavar="NAME", help="Delete a Package. Repeatable.")
@click.option("--repository", metavar="PATH", help="A new version of the package repository: a folder or oci://.")
@click.option("--against", metavar="PATH", help="The version that runs now; without a cluster, or where it cannot be fetched.")
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="[NAME=]VARIANT",
    help="Variant of a package; without NAME= of the platform of --repository. Repeatable.",
)
@click.option(
    "--set", "assigned", multiple=True, metavar="NAME:COMPONENT.PATH=VALUE", help="One value, read as YAML. Repeatable."
)
@click.option("--unset", "dropped", multiple=True, metavar="NAME:COMPONENT.PATH", help="Drop one value. Repeatable.")
@click.option("--enable", "enabled", multiple=True, metavar="NAME:COMPONENT", help="Install a component that was left out.")
@click.option("--disable", "disabled", multiple=True, metavar="NAME:COMPONENT", help="Leave a component out.")
@click.option("--values", "values_file", type=click.Path(path_type=Path, dir_okay=False), help="Values of the platform.")
@click.option("--offline", multiple=True, metavar="PATH", help="Take the world as it is from files, not from a cluster.")
@click.option("--manifests", is_flag=True, help="Render both sides with Helm and show how the objects differ.")
@click.option("--insecure", is_flag=True, help="Fetch oci:// over plain HTTP.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Save the plan for `cozypkg apply`.")
@output_option("text", "json", default="text")
@cluster_options
def command(
    session: Session,
    files: tuple[str, ...],
    added: tuple[str, ...],
    deleted: tuple[str, ...],
    repository: str | None,
    against: str | None,
    variants: tuple[str, ...],
    assigned: tuple[str, ...],
    dropped: tuple[str, ...],
    enabled: tuple[str, ...],
    disabled: tuple[str, ...],
    values_file: Path | None,
    offline: tuple[str, ...],
    manifests: bool,
    insecure: bool,
    out: Path | None,
    output: Literal["text", "json"],
) -> int:
    """Show what a change would do: releases, namespaces, waves, values and what is destroyed.

    Exit code 0 when nothing would change, 2 when something would.
    """
    if out is not None and (offline or against):
        raise CommandError("a plan can be saved for a cluster only: leave --offline and --against out")
    if out is not None and repository and (not repository.startswith("oci://") or variants or values_file or added or deleted):
        raise CommandError(
            "a saved plan pins the platform to an artifact and does nothing else: plan oci:// alone, or leave --out out"
        )
    of_platform = [text for text in variants if "=" not in text]
    if len(set(of_platform)) > 1:
        raise CommandError(f"two variants are asked for the platform: {of_platform[0]} and {of_platform[1]}")
    if of_platform and repository is None and against is None:
        raise click.UsageError(f'--variant is NAME=VARIANT where there is no --repository, not "{of_platform[0]}"')
    given = read_all(files, session.standard_input)
    request = Request(
        edits=tuple(edits_of(given)),
        changes=Changes(
            added=added,
            variants=[text for text in variants if "=" in text],
            assigned=assigned,
            dropped=dropped,
            enabled=enabled,
            disabled=disabled,
        ),
        deleted=deleted,
        repository=repository,
        against=against,
        variant=of_platform[0] if of_platform else None,
        values=values_of_file(values_file),
        manifests=manifests,
        insecure=insecure,
        saved=out is not None,
    )
    if offline or (against and repository):
        before = read_files(offline, session.standard_input) if offline else World(against or "", live=False)
        proposal = awaited(propose(request, before, None, session))
    else:
        proposal = session.on_cluster(lambda client: _on_cluster(request, client, session))
    for warning in dict.fromkeys([*proposal.before.warnings, *proposal.after.warnings, *proposal.warnings]):
        session.tell(f"warning: {warning}")
    if out is not None:
        from cozystack.cozypkg.savedplan import save

        save(out, session.server, proposal.before, proposal.edits, proposal.comparison, proposal.rollout)
    if output == "json":
        write_json(as_json(proposal), session.stdout)
    else:
        session.write_lines(text_of(proposal, session.colour))
        if out is not None:
            session.tell(f"saved; `cozypkg apply {out}` does exactly this")
    return Exit.OK if proposal.empty else Exit.FOUND


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, as it was given."""

    edits: tuple[Edit, ...] = ()
    changes: Changes = Changes()
    deleted: tuple[str, ...] = ()
    repository: str | None = None
    against: str | None = None
    variant: str | None = None
    values: dict[str, Any] | None = None
    manifests: bool = False
    insecure: bool = False
    saved: bool = False

    @property
    def renders(self) -> bool:
        return self.manifests or self.repository is not None


async def _on_cluster(request: Request, client: Client, session: Session) -> Proposal:
    return await propose(request, await read_cluster(client, EVERYTHING), client, session)


async def propose(request: Request, before: World, client: Client | None, session: Session) -> Proposal:
    """Everything that the plan says; raises ``CommandError`` and ``KubeError``."""
    if request.renders:
        from cozystack.cozypkg.repository import with_renderer

        return await with_renderer(lambda renderer: _propose(request, before, client, session, renderer))
    return await _propose(request, before, client, session, None)


async def _propose(
    request: Request, before: World, client: Client | None, session: Session, renderer: Renderer | None
) -> Proposal:
    warnings: list[str] = []
    old: Repository | None = None
    new: Repository | None = None
    old_secret: Mapping[str, str] | None = await _values_secret(client)
    new_secret = old_secret
    charts: set[str] = set()
    migrations: MigrationPlan | None = None
    rollout: Rollout | None = None
    after = before
    if renderer is not None:
        old, new = await _repositories(request, before, warnings)
        variant, values, spec = _platform(before, request)
        if not before.live and old is not None and not before.sources:
            session.tell(f"rendering the platform of {old.origin}")
            before, old_secret = await _platform_world(renderer, old, variant, values, spec)
            after, new_secret = before, old_secret
        if request.repository is not None and new is not None:
            session.tell(f"rendering the platform of {new.origin}")
            rendered, secret = await _platform_world(renderer, new, variant, values, spec)
            if before.live and old is not None:
                _, rendered_before = await _platform_world(renderer, old, variant, values, spec)
                new_secret = carried(old_secret, rendered_before, secret)
            else:
                new_secret = secret
            after = replace_platform(before, rendered)
            if old is not None:
                from cozystack.cozypkg.repository import platform_artifact

                charts = changed_charts(old, new, after.sources.values())
                if old.files != new.files:
                    charts.add(platform_artifact(variant))
            else:
                warnings.append("which charts differ cannot be said without the old repository: name it with --against")
            from cozystack.cozypkg.migrations import migrations_between
            from cozystack.cozypkg.rollout import rollout_to

            migrations = await migrations_between(before, client, (old, new), variant, values)
            if request.saved:
                rollout = rollout_to(request.repository, new.digest, before, migrations)
    edits = list(request.edits)
    edits += edits_for(request.changes, after)
    if rollout is not None and edits:
        raise CommandError("a saved plan for another version changes nothing else: save a plan of its own for that")
    for name in dict.fromkeys(request.deleted):
        package = after.packages.get(name)
        edits.append(Edit("delete", "Package", name, uid=package.metadata.uid if package is not None else ""))
    twice = [name for (kind, name), number in Counter((edit.kind, edit.name) for edit in edits).items() if number > 1]
    if twice:
        raise CommandError(f"two changes of {', '.join(twice)} contradict each other: say one of them")
    after = await apply_edits(after if after is not before else copied(before), edits, client)
    left, right, comparison = compared(before, after, charts)
    proposal = Proposal(before, after, tuple(ordered(edits, left, right)), comparison, {}, warnings, migrations, rollout)
    if renderer is not None and old is not None and new is not None:
        sides = Side(left, old, old_secret), Side(right, new, new_secret)
        if not comparison.empty:
            number = len(comparison.releases)
            session.tell(f"rendering {number} release{'s' if number > 1 else ''}")
        for change in comparison.releases:
            proposal.details[change.key] = await detail(
                change,
                sides[0] if change.action != "install" else None,
                sides[1] if change.action != "remove" else None,
                renderer,
                manifests=request.manifests,
            )
    return proposal


async def _repositories(request: Request, before: World, warnings: list[str]) -> tuple[Repository | None, Repository | None]:
    """The repository that runs now and the one that is to run."""
    from cozystack.cozypkg.repository import open_folder, pull

    async def fetch(text: str) -> Repository:
        if text.startswith("oci://"):
            return await pull(text, insecure=request.insecure)
        return open_folder(Path(text).expanduser())

    old: Repository | None = None
    if request.against is not None:
        old = await fetch(request.against)
    elif before.live:
        repository = _running(before)
        artifact = repository.status.artifact if repository is not None else None
        if repository is not None and artifact is not None:
            digest = artifact.revision.rpartition("@")[2]
            try:
                old = await pull(repository.spec.url, insecure=request.insecure or repository.spec.insecure, digest=digest)
            except CommandError as error:
                warnings.append(f"the repository that runs now cannot be fetched: {error}")
    new = await fetch(request.repository) if request.repository is not None else old
    if old is None and not before.live:
        old = new
    if new is None:
        raise CommandError("the charts are not here: name the package repository with --against")
    return old, new


def _running(world: World) -> OCIRepository | None:
    """The source that the packages come from now."""
    found = {each.metadata.name: each for each in world.repositories if isinstance(each, OCIRepository)}
    return found.get("cozystack-packages") or found.get("cozystack-platform")


def _platform(world: World, request: Request) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Variant and values of the platform, and the spec of its source."""
    package = world.packages.get(names.PLATFORM_PACKAGE)
    variant = request.variant or (package.variant if package is not None else names.DEFAULT_VARIANT)
    values = request.values
    if values is None:
        own = package.override("platform").values if package is not None else None
        values = own if isinstance(own, dict) else {}
    spec: dict[str, Any] = {"url": "oci://example.org/packages", "interval": "5m0s"}
    for repository in world.repositories:
        if repository.metadata.name == "cozystack-platform":
            spec = msgspec.to_builtins(repository.spec)
    return variant, values, spec


async def _platform_world(
    renderer: Renderer, repository: Repository, variant: str, values: dict[str, Any], spec: dict[str, Any]
) -> tuple[World, dict[str, str] | None]:
    from cozystack.cozypkg.repository import platform_package, platform_source, world_of

    world, secret = world_of(await renderer.platform(repository, variant, values, spec), repository.origin)
    world.sources.setdefault(names.PLATFORM_PACKAGE, platform_source(variant))
    world.packages.setdefault(names.PLATFORM_PACKAGE, platform_package(variant))
    return world, secret


async def _values_secret(client: Client | None) -> dict[str, str] | None:
    """The data of the platform's values Secret, which never leaves this process."""
    if client is None:
        return None
    from cozystack.kube.errors import Forbidden

    try:
        found = await client.find(SECRETS, Key(names.SYSTEM_NAMESPACE, names.VALUES_SECRET))
    except Forbidden:
        return None
    return dict(found.data) if found is not None else None


# How it is shown


def as_json(proposal: Proposal) -> dict[str, Any]:
    """The plan for programs; problems are data and sentences."""
    nothing: dict[str, Any] = {"objects": [], "releases": [], "waves": [], "estimate": None, "pending": 0}
    value: dict[str, Any] = {**nothing, **msgspec.to_builtins(proposal.comparison)}
    for key in ("newProblems", "solvedProblems"):
        problems = proposal.comparison.new_problems if key == "newProblems" else proposal.comparison.solved_problems
        value[key] = [
            {**msgspec.to_builtins(problem), "message": describe(problem), "unblock": unblock(problem)} for problem in problems
        ]
    value["changes"] = not proposal.empty
    if proposal.migrations is not None:
        from cozystack.cozypkg import migrations

        value["migrations"] = migrations.as_json(proposal.migrations)
    value["destructive"] = [str(change.key) for change in proposal.comparison.destructive]
    if proposal.details:
        value["details"] = [msgspec.to_builtins(proposal.details[key]) for key in sorted(proposal.details)]
    value["warnings"] = proposal.warnings
    return value


def text_of(proposal: Proposal, colour: bool) -> Iterator[str]:
    """The plan for people, line by line."""
    comparison = proposal.comparison
    if proposal.empty:
        yield "Nothing would change."
        return
    if proposal.migrations is not None:
        from cozystack.cozypkg import migrations

        yield from migrations.lines(proposal.migrations)
    for title, kind in (("Package sources", "PackageSource"), ("Packages", "Package"), ("Namespaces", "Namespace")):
        changes = [change for change in comparison.objects if change.kind == kind]
        if changes:
            yield f"{title}:"
            for change in changes:
                yield _painted(f"  {_MARKS[change.action]} {change.name}", _MARKS[change.action], colour)
                yield from _object_lines(change)
            yield ""
    if comparison.releases:
        yield "Releases:"
        for release in comparison.releases:
            yield from _release_lines(release, proposal.details.get(release.key), colour)
        yield ""
    if comparison.waves:
        yield "Order:"
        for number, wave in enumerate(comparison.waves, 1):
            yield f"  {number}. {', '.join(wave)}"
        yield from _estimate_lines(comparison)
        if any(change.chart for change in comparison.releases):
            yield "  A new chart reaches its release at once: Flux orders installations, not upgrades."
        yield ""
    if comparison.new_problems:
        yield "Problems that this brings:"
        yield from _problem_lines(comparison.new_problems)
        yield ""
    if comparison.solved_problems:
        yield "Problems that this solves:"
        yield from (f"  {said}" for said in dict.fromkeys(map(describe, comparison.solved_problems)))
        yield ""
    yield _summary(comparison)


def _object_lines(change: ObjectChange) -> Iterator[str]:
    shown = [field for field in change.fields if ".values." not in field.path and not field.path.endswith(".values")]
    for field in shown[:12]:
        yield f"      {field.path}: {_both(field)}"
    hidden = len(change.fields) - len(shown[:12])
    if hidden > 0 and shown[:12]:
        yield f"      and {hidden} more"


def _release_lines(change: ReleaseChange, found: ReleaseDetail | None, colour: bool) -> Iterator[str]:
    mark = _MARKS[change.action]
    what = {
        "install": "installed",
        "upgrade": "upgraded, with another chart" if change.chart else "upgraded",
        "update": "updated; Helm has nothing to do",
        "move": f"moved to {change.moves_to}",
        "remove": "removed",
    }[change.action]
    line = f"  {mark} {change.key} is {what} ({change.package})"
    if change.destroys:
        line += f"; DESTROYS {change.destroys}"
    if change.held_back:
        line += f"; held back: {change.held_back}"
    yield _painted(line, mark, colour)
    if found is not None and found.error:
        yield f"      cannot be rendered: {found.error}"
    if found is not None and found.values:
        for value in found.values:
            yield f"      {value.path}: {_value(value)}"
    for field in change.fields:
        if found is None or not found.values or not field.path.startswith("values"):
            yield f"      {field.path}: {_both(field)}"
    for item in found.objects if found is not None else ():
        yield _painted(f"      {_MARKS[item.action]} {item.object}", _MARKS[item.action], colour)
        if item.action == "change":
            yield from (_painted(f"        {line}", line[:1], colour) for line in item.lines)


def _problem_lines(problems: Iterable[Problem]) -> Iterator[str]:
    """What concerns several objects, a loop for one, is said once, with each way to mend it."""
    fixes: dict[str, list[str]] = {}
    for problem in problems:
        fixes.setdefault(describe(problem), []).append(unblock(problem))
    for said, ways in fixes.items():
        yield f"  {said}"
        ways = list(dict.fromkeys(ways))
        yield f"    to fix it: {ways[0]}"
        yield from (f"    or: {way}" for way in ways[1:])


def _estimate_lines(comparison: Comparison) -> Iterator[str]:
    estimate = comparison.estimate
    if estimate is None:
        return
    if estimate.path:
        yield f"  Critical path: {' -> '.join(estimate.path)}"
    if estimate.known:
        yield f"  About {estimate.seconds:.0f} s, by {estimate.known} of these {estimate.total} releases that ran before"


def _summary(comparison: Comparison) -> str:
    count = comparison.count
    parts = [
        f"{number} to {verb}"
        for number, verb in (
            (count("install"), "install"),
            (count("upgrade"), "upgrade"),
            (count("update"), "update"),
            (count("move"), "move"),
            (count("remove"), "remove"),
        )
        if number
    ]
    text = f"Releases: {', '.join(parts)}." if parts else "No release changes."
    if comparison.destructive:
        number = len(comparison.destructive)
        text += f" {number} of them {'destroys' if number == 1 else 'destroy'} something."
    if comparison.pending:
        text += f" Not shown: {comparison.pending} that change already."
    return text


def _both(field: FieldChange) -> str:
    return f"{_shown(field.old)} -> {_shown(field.new)}"


def _value(value: ValueChange) -> str:
    sides = []
    for side, source in ((value.old, value.old_from), (value.new, value.new_from)):
        text = "(hidden)" if value.hidden and source else _shown(side)
        sides.append(f"{text} [{source}]" if source else text)
    return " -> ".join(sides)


def _shown(value: Any) -> str:
    if value is msgspec.UNSET:
        return "(none)"
    text = msgspec.json.encode(value).decode() if not isinstance(value, str) else value or '""'
    text = " ".join(text.split("\n"))
    return text if len(text) <= 120 else text[:117] + "..."


def _painted(text: str, mark: str, colour: bool) -> str:
    return click.style(text, fg=_COLOURS[mark]) if colour and mark in _COLOURS else text


__all__ = ["Request", "as_json", "command", "propose", "text_of"]
