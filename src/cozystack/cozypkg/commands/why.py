"""``cozypkg why``: why a Package is installed, and who would miss it."""

from __future__ import annotations

import click

from cozystack.cozypkg.options import cluster_options, files_option, output_option
from cozystack.cozypkg.output import Format, write_json, write_yaml
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import look, unknown
from cozystack.planner.closure import AS_DEPENDENCY, INSTALLED_AS_ANNOTATION, bundle, needs


@click.command("why")
@click.argument("name")
@files_option()
@output_option("table", "json", "yaml", "name")
@cluster_options
def command(session: Session, name: str, files: tuple[str, ...], output: Format) -> None:
    """Say why Package NAME is installed: who asked for it, and the chains that lead to it."""
    world = look(session, files)
    view = world.catalogue()
    package = view.package(name)
    chains = needs(view, name)
    if package is None and not chains and name not in world.sources:
        raise unknown(world, name)
    pulled_in = package is not None and package.metadata.annotations.get(INSTALLED_AS_ANNOTATION) == AS_DEPENDENCY
    made_by = bundle(package) if package is not None else ""
    value = {
        "name": name,
        "installed": package is not None,
        "asked": package is not None and not pulled_in,
        "bundle": made_by,
        "chains": [list(chain) for chain in chains],
    }
    if output == "json":
        write_json(value, session.stdout)
    elif output == "yaml":
        write_yaml(value, session.stdout)
    elif output == "name":
        session.stdout.writelines(f"{top}\n" for top in dict.fromkeys(chain[0] for chain in chains))
    else:
        if package is None:
            first = f"{name} is not installed"
        elif made_by:
            first = f"{name} is installed: the Helm release {made_by} made it"
        else:
            first = f"{name} is installed: {'as a dependency' if pulled_in else 'somebody asked for it'}"
        session.stdout.write(first + "\n")
        arrow = " -> " if session.ascii else " → "
        if chains:
            session.stdout.write("needed by\n" if package is not None else "and is needed by\n")
            session.stdout.writelines(f"  {arrow.join(chain)}\n" for chain in chains)
        elif pulled_in:
            session.stdout.write("nothing needs it any more: cozypkg del --autoremove would delete it\n")
        else:
            session.stdout.write("nothing else needs it\n")
