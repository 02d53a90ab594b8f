"""``cozypkg import``: Packages of another cluster, or of a folder, made or changed to be as they are there."""

from __future__ import annotations

import click

from cozystack.cozypkg.adding import read_request
from cozystack.cozypkg.commands.add import carry_out
from cozystack.cozypkg.options import Duration, cluster_options, dry_run_option, output_option, yes_option
from cozystack.cozypkg.output import Format
from cozystack.cozypkg.session import Session


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--no-deps", is_flag=True, help="Add nothing that is not in the files.")
@click.option("--default-variants", is_flag=True, help="Of what is added beside, take default, or the first variant.")
@click.option("--force-conflicts", is_flag=True, help="Take over fields that others manage.")
@click.option("--wait", "wait", is_flag=True, help="Wait until all of it is ready.")
@click.option("--timeout", type=Duration(), default="10m", show_default=True, help="How long to wait.")
@click.option(
    "--offline", default="", metavar="PATH", help="Take this file or folder for the cluster, and print what would be."
)
@yes_option
@dry_run_option
@output_option("table", "json", "yaml", "name")
@cluster_options
def command(
    session: Session,
    files: tuple[str, ...],
    no_deps: bool,
    default_variants: bool,
    force_conflicts: bool,
    wait: bool,
    timeout: float,
    offline: str,
    yes: bool,
    dry_run: bool,
    output: Format,
) -> None:
    """Make the cluster have what the files (of ``export``) hold; - is standard input. Nothing else is touched."""
    request = read_request(session, (), (), files)
    request.update = True
    request.no_deps = no_deps
    request.default_variants = default_variants
    request.ask = session.interactive and not yes and not default_variants
    carry_out(
        session, request, offline=offline, force=force_conflicts, yes=yes, dry_run=dry_run, output=output,
        wait=timeout if wait else None,
    )  # fmt: skip
