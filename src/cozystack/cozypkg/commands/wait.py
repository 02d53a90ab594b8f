"""``cozypkg wait``: until Packages are ready, gone or understood; watch-driven."""

from __future__ import annotations

import click

from cozystack.api.resources import PACKAGES
from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.options import Duration, cluster_options, output_option
from cozystack.cozypkg.output import write_json
from cozystack.cozypkg.session import Session
from cozystack.kube import Client

_DONE = {"ready": "is ready", "deleted": "is gone", "accepted": "is accepted"}


@click.command("wait")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Wait for every Package that is there now.")
@click.option(
    "--for", "goal", type=click.Choice(["ready", "deleted", "accepted"]), default="ready", show_default=True,
    help="What to wait for: that it runs, that it and its releases are gone, or that its specification is understood.",
)  # fmt: skip
@click.option("--timeout", type=Duration(), default="10m", show_default=True, help="How long to wait.")
@output_option("table", "json")
@cluster_options
def command(session: Session, names: tuple[str, ...], everything: bool, goal: str, timeout: float, output: str) -> None:
    """Wait for Packages; exit code 4 when the time is over, with what each still waits for."""
    if everything == bool(names):
        raise click.UsageError("name the packages to wait for, or say --all")

    def told(name: str) -> None:
        session.tell(f"{name} {_DONE[goal]}")

    async def work(client: Client) -> dict[str, str]:
        from cozystack.cozypkg.waiting import wait_for

        wanted = [package.metadata.name for package in (await client.list(PACKAGES)).items] if everything else names
        return await wait_for(client, wanted, goal, timeout=timeout, told=told)  # type: ignore[arg-type]

    missing = session.on_cluster(work)
    if output == "json":
        write_json({"for": goal, "reached": not missing, "waiting": missing}, session.stdout)
    if missing:
        for name, lacks in missing.items():
            session.tell(f"{name}: {lacks}")
        count = f"{len(missing)} Package{'s' if len(missing) > 1 else ''}"
        raise CommandError(f"the time is over, and {count} did not get there", code=Exit.TIMED_OUT)
