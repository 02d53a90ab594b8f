"""``cozypkg dot``: the dependency graph (specification, cozypkg 9)."""

from __future__ import annotations

from typing import Any, Literal

import click
import msgspec

from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.options import cluster_options, files_option
from cozystack.cozypkg.output import write_json
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import CHOICE, EVERYTHING, look
from cozystack.planner.comparison import measured_durations
from cozystack.planner.drawing import picture
from cozystack.planner.drawing.text import dot, mermaid, tree
from cozystack.planner.sentences import did_you_mean

Form = Literal["dot", "mermaid", "json", "tree", "svg", "html"]


@click.command("dot")
@click.argument("package", nargs=-1, metavar="[NAME]...")
@files_option()
@click.option("-i", "--installed", is_flag=True, help="Only what is installed, with the variants that are.")
@click.option("--components", is_flag=True, help="Show components too.")
@click.option(
    "--format", "form", type=click.Choice(["dot", "mermaid", "json", "tree", "svg", "html"]), default="dot", show_default=True
)
@click.option("--reverse", is_flag=True, help="Who needs NAME, instead of what NAME needs.")
@click.option("--depth", type=click.IntRange(min=0), help="How far from NAME.")
@click.option("--critical-path", is_flag=True, help="Mark the chain that decides how long everything takes.")
@click.option("--state", is_flag=True, help="Colour packages by their state in the cluster.")
@cluster_options
def command(
    session: Session,
    package: tuple[str, ...],
    files: tuple[str, ...],
    installed: bool,
    components: bool,
    form: Form,
    reverse: bool,
    depth: int | None,
    critical_path: bool,
    state: bool,
) -> None:
    """Draw what packages depend on: all of them, or NAME with all that it needs."""
    if state and files:
        raise click.UsageError("--state: files have none")
    world = look(session, files, EVERYTHING if state or critical_path else CHOICE)
    view = world.catalogue()
    try:
        drawn = picture(
            view,
            package,
            installed=installed,
            components=components,
            reverse=reverse,
            depth=depth,
            states=state,
            critical_path=critical_path,
            durations=measured_durations(world.releases.values()),
        )
    except LookupError as error:
        what = "Package" if installed else "PackageSource"
        name, known = str(error.args[0]), world.packages if installed else world.sources
        raise CommandError(f"{world.origin} has no {what} {name}{did_you_mean(name, known)}") from error
    if form == "json":
        value: dict[str, Any] = msgspec.to_builtins(drawn)
        write_json(value, session.stdout)
    elif form in ("svg", "html"):
        from cozystack.planner.drawing.svg import page, svg

        session.stdout.write(svg(drawn) if form == "svg" else page(drawn))
    else:
        lines = (
            dot(drawn)
            if form == "dot"
            else mermaid(drawn)
            if form == "mermaid"
            else tree(drawn, package, reverse=reverse, ascii_only=session.ascii)
        )
        session.stdout.writelines(f"{line}\n" for line in lines)
