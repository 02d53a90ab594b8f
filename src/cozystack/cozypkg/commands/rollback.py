"""``cozypkg rollback``: releases of a Package go back to an earlier revision, and stay there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from cozystack.api import names
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.options import cluster_options, dry_run_option, output_option, yes_option
from cozystack.cozypkg.output import Column, Format, table_lines, write_json, write_yaml
from cozystack.cozypkg.prompts import confirm
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import STATE, read_cluster

if TYPE_CHECKING:
    from cozystack.cozypkg.holding import Return
    from cozystack.kube import Client

_COLUMNS = (Column("RELEASE"), Column("NOW"), Column("CHART", shrinks=True), Column("TO"), Column("CHART", shrinks=True))


@click.command("rollback")
@click.argument("name")
@click.option(
    "--component", "components", multiple=True, metavar="NAME", help="Only the release of this component. Repeatable."
)
@click.option(
    "--to", "revision", type=click.IntRange(min=1), metavar="REVISION", help="Helm's number; else the last that ran before."
)
@yes_option
@dry_run_option
@output_option("table", "json", "yaml")
@cluster_options
def command(
    session: Session,
    name: str,
    components: tuple[str, ...],
    revision: int | None,
    yes: bool,
    dry_run: bool,
    output: Format,
) -> None:
    """Roll the releases of Package NAME back, and hold them there until `cozypkg resume NAME`.

    CRDs, volumes and what hooks have done stay as they are. For the whole platform, plan and apply its earlier version.
    """
    if name == names.PLATFORM_PACKAGE:
        raise CommandError(
            f"{name} moves all packages: plan and apply the earlier version instead (cozypkg plan --repository, cozypkg apply)"
        )

    async def work(client: Client) -> tuple[list[Return], bool]:
        from cozystack.cozypkg.holding import private_folder, releases_of, returns, roll_back, write_kubeconfig
        from cozystack.helm import HelmError, open_helm
        from cozystack.kube import load_config

        releases = releases_of(await read_cluster(client, STATE), name, components)
        with private_folder() as folder:
            kubeconfig = write_kubeconfig(load_config(session.kubeconfig, session.context, session.env), Path(folder))
            try:
                helm = await open_helm(state=Path(folder))
            except HelmError as error:
                raise CommandError(str(error)) from error
            try:
                found = await returns(helm, releases, kubeconfig, revision or 0)
                if dry_run:
                    return found, False
                for line in _table(found, session):
                    session.tell(line)
                confirm(session, "They stay there until they are resumed. Do you want to continue?", yes=yes)
                await roll_back(client, session, helm, releases, found, kubeconfig)
            except HelmError as error:
                raise CommandError(str(error)) from error
            finally:
                await helm.close()
        session.tell(f"  held until `cozypkg resume {name}`; `cozypkg status` says so")
        return found, True

    found, done = session.on_cluster(work)
    value: dict[str, Any] = {"done": done, "releases": msgspec.to_builtins(found)}
    if output == "json":
        write_json(value, session.stdout)
    elif output == "yaml":
        write_yaml(value, session.stdout)
    elif not done:
        session.stdout.writelines(f"{line}\n" for line in _table(found, session))


def _table(found: list[Return], session: Session) -> list[str]:
    width = shutil.get_terminal_size((80, 24)).columns if session.stderr.isatty() else None
    rows = [(each.release, str(each.now), each.now_chart, str(each.to), each.to_chart) for each in found]
    return table_lines(_COLUMNS, rows, available=width)
