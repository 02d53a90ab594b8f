"""``cozypkg version``: of this program, and of the platform in the cluster."""

from __future__ import annotations

import platform
from typing import Any

import click

from cozystack import __version__
from cozystack.cozypkg.options import cluster_options, output_option
from cozystack.cozypkg.output import Format, write_json, write_yaml
from cozystack.cozypkg.session import Session


@click.command("version")
@click.option("--client", "client_only", is_flag=True, help="Of this program alone; ask no cluster.")
@output_option("table", "json", "yaml")
@cluster_options
def command(session: Session, client_only: bool, output: Format) -> None:
    """Say the versions of this program and of the cluster."""
    value: dict[str, Any] = {"cozypkg": __version__, "python": platform.python_version()}
    if not client_only:
        server = session.on_cluster(lambda client: client.request_json("/version"))
        value["kubernetes"] = server.get("gitVersion", "") if isinstance(server, dict) else ""
    if output == "json":
        write_json(value, session.stdout)
    elif output == "yaml":
        write_yaml(value, session.stdout)
    else:
        session.stdout.writelines(f"{name} {version}\n" for name, version in value.items())
