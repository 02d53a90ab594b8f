"""``cozypkg explain``: why a package is as it is, down to the Pod and its last Event."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from cozystack.api import names
from cozystack.api.meta import find_condition
from cozystack.cozypkg.errors import Exit
from cozystack.cozypkg.options import cluster_options, output_option
from cozystack.cozypkg.output import write_json
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import EVERYTHING, World, read_cluster, unknown
from cozystack.planner.diagnosis import Diagnosis, Evidence, diagnose
from cozystack.planner.problems import DependencyNotReady

if TYPE_CHECKING:
    from cozystack.kube import Client
    from cozystack.planner import Catalogue, PackagePlan


@click.command("explain")
@click.argument("package", nargs=-1, metavar="[NAME]...")
@click.option("--dump", "dump_file", type=click.Path(path_type=Path, dir_okay=False), help="Look at a dump, not at a cluster.")
@output_option("text", "json", default="text")
@cluster_options
def command(session: Session, package: tuple[str, ...], dump_file: Path | None, output: Literal["text", "json"]) -> int:
    """Say why packages are not ready: the chain to the cause, what would unblock it, what to type.

    Without NAME, every Package that is not ready. Exit code 2 when something is wrong.
    """
    if dump_file is not None:
        from cozystack.cozypkg.dumping import read, split

        objects, unread = read(dump_file)
        world, evidence = split(objects, str(dump_file), unread)
        view = world.catalogue()
    else:
        world, view, evidence = session.on_cluster(lambda client: _look(client, package))
    for warning in world.warnings:
        session.tell(f"warning: {warning}")
    for name in package:
        if name not in world.packages and name not in world.sources:
            raise unknown(world, name)
    wanted = list(dict.fromkeys(package)) or unready(view)
    found = {name: diagnose(view, evidence, name) for name in wanted}
    if not package:
        found = _roots_only(found)
    if output == "json":
        write_json({name: [_plain(each) for each in diagnoses] for name, diagnoses in found.items()}, session.stdout)
    else:
        session.write_lines(_text(found, session.colour, everything=not package))
    return Exit.FOUND if any(not each.waits and not each.warning for all_ in found.values() for each in all_) else Exit.OK


async def _look(client: Client, package: tuple[str, ...]) -> tuple[World, Catalogue, Evidence]:
    """The world, and what there is to see in the namespaces of those at fault."""
    from cozystack.cozypkg.dumping import evidence_of

    if package:
        from cozystack.cozypkg.focus import read_around

        world, view = await read_around(client, package)
        asked = [name for name in package if name in world.packages]
    else:
        world = await read_cluster(client, EVERYTHING)
        view = world.catalogue()
        asked = unready(view)
    places = {names.SYSTEM_NAMESPACE, names.FLUX_NAMESPACE}
    for name in at_fault(view, asked):
        plan = view.plan(name)
        places |= {each.key.namespace for each in plan.releases if not each.state.ready and view.release(each.key) is not None}
        if plan.removal is not None:
            places |= {key.namespace for key in view.releases_of(name)}
    return world, view, Evidence(await evidence_of(client, places))


def unready(view: Catalogue) -> list[str]:
    """The Packages that are not ready, or have something pending; and those that are held, lest that be forgotten."""

    def needs_a_look(plan: PackagePlan) -> bool:
        return not plan.at_rest or find_condition(plan.status.conditions, "Held") is not None

    return [name for name in sorted(view.packages) if needs_a_look(view.plan(name))]


def at_fault(view: Catalogue, asked: list[str]) -> set[str]:
    """The Packages that are asked about, and all that they wait for, however far."""
    found, waiting = set(asked), list(asked)
    for name in waiting:
        plan = view.plan(name)
        chains = [problem.chain for problem in plan.problems if isinstance(problem, DependencyNotReady)]
        if plan.removal is not None:
            chains.append(plan.removal.waiting_for_packages)
        for chain in chains:
            news = [each for each in chain if each not in found and view.package(each) is not None]
            found.update(news)
            waiting += news
    return found


def _roots_only(found: dict[str, tuple[Diagnosis, ...]]) -> dict[str, tuple[Diagnosis, ...]]:
    """Each cause once, at the Package that it belongs to."""
    shortest: dict[tuple[str, str], tuple[int, str]] = {}
    for name, diagnoses in found.items():
        for each in diagnoses:
            key, length = (each.cause, each.object), (len(each.chain), name)
            shortest[key] = min(shortest.get(key, length), length)
    return {
        name: tuple(each for each in diagnoses if shortest[each.cause, each.object] == (len(each.chain), name))
        for name, diagnoses in found.items()
    }


def _plain(diagnosis: Diagnosis) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(diagnosis)
    return value


def _text(found: dict[str, tuple[Diagnosis, ...]], colour: bool, *, everything: bool) -> Iterator[str]:
    """``everything``: nobody was named, and each cause stands where it belongs; who has none here waits for one of these."""
    told = {name: diagnoses for name, diagnoses in found.items() if diagnoses}
    if not found:
        yield "All packages are ready."
        return
    if not told:
        yield f"{', '.join(found)} {'is' if len(found) == 1 else 'are'} ready."
        return
    for number, (name, diagnoses) in enumerate(told.items()):
        if number:
            yield ""
        yield _painted(name, "cyan", colour)
        # Where something is wrong, what merely waits for it is no news.
        wrong = [each for each in diagnoses if not each.waits]
        for each in wrong or diagnoses:
            yield from _one(each, colour)
    behind = [name for name in found if name not in told]
    if behind:
        yield ""
        yield f"{'Waiting for these' if everything else 'Ready'}: {', '.join(behind)}"


def _one(diagnosis: Diagnosis, colour: bool) -> Iterator[str]:
    label, paint = ("waits", "yellow") if diagnosis.waits else ("note", "cyan") if diagnosis.warning else ("cause", "red")
    yield f"  {_painted(label, paint, colour)}: {diagnosis.object}: {diagnosis.message} ({diagnosis.cause})"
    for depth, link in enumerate(diagnosis.chain):
        yield f"    {'  ' * depth}{'└ ' if depth else ''}{link.object}" + (f": {link.says}" if link.says else "")
    yield f"  to unblock it: {diagnosis.unblock}"
    for command_line in diagnosis.commands:
        yield f"    $ {command_line}"


def _painted(text: str, paint: str, colour: bool) -> str:
    return click.style(text, fg=paint) if colour else text
