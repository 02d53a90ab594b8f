"""``cozypkg upgrade``: fetch the charts of Packages anew, or another version of them.

Packages follow their PackageSources, and those follow a repository: an upgrade is a new version of that. Without ``--to`` Flux
is told to look now instead of at its next interval. What a new version would change, ``cozypkg plan`` says.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import Any

import click

from cozystack.api import names as well_known
from cozystack.api.meta import Key
from cozystack.api.resources import GIT_REPOSITORIES, OCI_REPOSITORIES, PACKAGE_SOURCES, PACKAGES
from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.options import Duration, cluster_options, dry_run_option, output_option, yes_option
from cozystack.cozypkg.output import Column, Format, table_lines, write_json, write_yaml
from cozystack.cozypkg.prompts import confirm
from cozystack.cozypkg.session import MANAGER, Session
from cozystack.cozypkg.upgrading import Upgrade, place_of, revision_of
from cozystack.cozypkg.world import World, read_cluster
from cozystack.cozypkg.writing import one_line, sentences, tick
from cozystack.kube import Client
from cozystack.planner.sentences import did_you_mean

_COLUMNS = (Column("REPOSITORY"), Column("NOW", shrinks=True), Column("TO", shrinks=True), Column("PACKAGES", shrinks=True))
_KINDS = (PACKAGE_SOURCES, PACKAGES, OCI_REPOSITORIES, GIT_REPOSITORIES)
_ORIGIN = Key(well_known.SYSTEM_NAMESPACE, well_known.PLATFORM_SOURCE)
_COPY = Key(well_known.SYSTEM_NAMESPACE, "cozystack-packages")
"""Where the packages of the platform come from. Its release moves that, after the migrations; nobody else must."""


@click.command("upgrade")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--to", "to", default="", metavar="TAG|DIGEST", help="Another version of the repository; else the newest of the same."
)
@click.option("--wait", "wait", is_flag=True, help="Wait until the version is there and all of its Packages are ready.")
@click.option("--timeout", type=Duration(), default="10m", show_default=True, help="How long to wait.")
@yes_option
@dry_run_option
@output_option("table", "json", "yaml")
@cluster_options
def command(
    session: Session, names: tuple[str, ...], to: str, wait: bool, timeout: float, yes: bool, dry_run: bool, output: Format
) -> None:
    """Upgrade Packages (all if none is named) by a new version of the repositories that their charts come from."""
    world = session.on_cluster(lambda client: read_cluster(client, _KINDS))
    steps = _steps(world, names, to)
    if output != "table" and dry_run:
        _print(session, steps, output, written=False)
    elif dry_run:
        session.stdout.writelines(f"{line}\n" for line in _table(steps, session))
    elif not steps:
        session.tell("no packages are installed")
    else:
        for line in _table(steps, session):
            session.tell(line)
        confirm(session, "Do you want to continue?", yes=yes)
        now = (session.clock.now() if session.clock is not None else datetime.now(UTC)).isoformat()
        before = session.on_cluster(lambda client: _before(client, steps, now)) if wait else None
        session.on_cluster(lambda client: _write(client, session, steps, now))
        if output != "table":
            _print(session, steps, output, written=True)
        if before is not None:
            session.on_cluster(lambda client: _wait(client, session, before, timeout))


def _steps(world: World, names: tuple[str, ...], to: str) -> list[dict[str, Any]]:
    """A step a repository: what is there, what will be, and all Packages that follow it."""
    absent = [name for name in names if name not in world.packages]
    if absent:
        raise sentences([f"Package {name} is not installed{did_you_mean(name, world.packages)}" for name in absent])
    without = [name for name in sorted(names or world.packages) if not _has_source(world, name)]
    if names and without:
        raise sentences([f"Package {name} follows no repository: {_why_not(world, name)}" for name in without])
    users: dict[tuple[str, Key], list[str]] = {}
    for name in sorted(world.packages):
        source = world.sources.get(name)
        ref = source.spec.source_ref if source is not None else None
        if ref is not None:
            users.setdefault((ref.kind, Key(ref.namespace, ref.name)), []).append(name)
    wanted = [where for where, packages in users.items() if not names or set(names) & set(packages)]
    there = {place_of(repository): repository for repository in world.repositories}
    moved = list(dict.fromkeys((kind, _ORIGIN if key == _COPY and (kind, _ORIGIN) in there else key) for kind, key in wanted))
    if to and len(moved) > 1:
        repositories = ", ".join(f"{kind} {key}" for kind, key in moved)
        raise CommandError(f"--to is for one repository, and these are {len(moved)}: {repositories}; name a package of one")
    if to:
        wanted = list(dict.fromkeys([*wanted, *moved]))
    steps = []
    for kind, key in sorted(wanted, key=str):
        repository = there.get((kind, key))
        if repository is None:
            raise CommandError(f"{kind} {key} is not there, which {users[kind, key][0]} comes from")
        steps.append(
            {
                "kind": kind,
                "namespace": key.namespace,
                "name": key.name,
                "now": revision_of(repository),
                "to": to if (kind, key) in moved else "",
                "packages": users.get((kind, key), []),
                "version": repository.metadata.resource_version,
            }
        )
    return steps


def _has_source(world: World, name: str) -> bool:
    source = world.sources.get(name)
    return source is not None and source.spec.source_ref is not None


def _why_not(world: World, name: str) -> str:
    return "its PackageSource names none" if name in world.sources else f"there is no PackageSource {name}"


def _table(steps: list[dict[str, Any]], session: Session) -> list[str]:
    width = shutil.get_terminal_size((80, 24)).columns if session.stderr.isatty() else None
    rows = [
        (
            f"{step['kind']} {step['namespace']}/{step['name']}",
            step["now"] or "nothing yet",
            step["to"] or "the newest",
            ", ".join(step["packages"]),
        )
        for step in steps
    ]
    return table_lines(_COLUMNS, rows, available=width)


def _print(session: Session, steps: list[dict[str, Any]], output: Format, *, written: bool) -> None:
    shown = [{key: value for key, value in step.items() if key != "version"} for step in steps]
    value = {"written": written, "repositories": shown}
    (write_json if output == "json" else write_yaml)(value, session.stdout)


def _reference(kind: str, to: str) -> dict[str, Any]:
    """``spec.ref`` for one version: everything else that could choose one is dropped."""
    if kind == "GitRepository":
        commit = len(to) == 40 and all(char in "0123456789abcdef" for char in to)
        return {"branch": None, "semver": None, "name": None, "tag": None if commit else to, "commit": to if commit else None}
    digest = to.startswith("sha256:")
    return {"semver": None, "semverFilter": None, "tag": None if digest else to, "digest": to if digest else None}


async def _write(client: Client, session: Session, steps: list[dict[str, Any]], now: str) -> None:
    """A dry run of everything comes first, so that a refusal changes nothing."""
    from cozystack.kube.errors import ApiError, Conflict, NotFound, Unauthorized

    for dry_run in (True, False):
        done: list[str] = []
        for step in steps:
            resource: Any = OCI_REPOSITORIES if step["kind"] == "OCIRepository" else GIT_REPOSITORIES
            patch: dict[str, Any] = {"metadata": {"annotations": {well_known.REQUESTED_AT_ANNOTATION: now}}}
            if step["to"]:
                patch["metadata"]["resourceVersion"] = step["version"]
                patch["spec"] = {"ref": _reference(step["kind"], step["to"])}
            what = f"{step['kind']} {step['namespace']}/{step['name']}"
            after = f"; changed before that: {', '.join(done)}" if done else "; nothing was changed"
            try:
                await client.patch(resource, Key(step["namespace"], step["name"]), patch, manager=MANAGER, dry_run=dry_run)
            except (Conflict, NotFound) as error:
                raise CommandError(f"{what} has changed meanwhile{after}", code=Exit.MOVED) from error
            except Unauthorized:
                raise
            except ApiError as error:
                raise CommandError(f"{what} is refused: {one_line(error.message)}{after}") from error
            if not dry_run:
                done.append(what)
                session.tell(f"{tick(session)} {'Changed' if step['to'] else 'Asked'} {what}")


async def _wait(client: Client, session: Session, upgrade: Upgrade, timeout: float) -> None:
    from cozystack.cozypkg.upgrading import follow_upgrade

    seen = await follow_upgrade(client, upgrade, timeout=timeout, told=lambda name: session.tell(f"{name} is ready"))
    for name, lacks in seen.missing.items():
        session.tell(f"{name}: {lacks}")
    if seen.missing:
        raise CommandError(f"the time is over, and {seen.stage}", code=Exit.TIMED_OUT)


async def _before(client: Client, steps: list[dict[str, Any]], now: str) -> Upgrade:
    """What is there before anything is asked for."""
    from cozystack.cozypkg.upgrading import starting_from

    places = [(step["kind"], Key(step["namespace"], step["name"])) for step in steps]
    packages = tuple(sorted({name for step in steps for name in step["packages"]}))
    return await starting_from(client, places, now, packages)
