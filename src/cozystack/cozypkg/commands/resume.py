"""``cozypkg resume``: releases of a Package that are held are Flux's again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.options import Duration, cluster_options, dry_run_option, yes_option
from cozystack.cozypkg.prompts import confirm
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import STATE, read_cluster

if TYPE_CHECKING:
    from cozystack.kube import Client


@click.command("resume")
@click.argument("name")
@click.option(
    "--component", "components", multiple=True, metavar="NAME", help="Only the release of this component. Repeatable."
)
@click.option("--wait", "wait", is_flag=True, help="Wait until the Package is ready.")
@click.option("--timeout", type=Duration(), default="10m", show_default=True, help="How long to wait.")
@yes_option
@dry_run_option
@cluster_options
def command(
    session: Session, name: str, components: tuple[str, ...], wait: bool, timeout: float, yes: bool, dry_run: bool
) -> None:
    """Let the releases of Package NAME that are held go on to the newest charts and values."""

    async def work(client: Client) -> dict[str, str]:
        from cozystack.cozypkg.holding import let_go, releases_of
        from cozystack.cozypkg.waiting import wait_for

        releases = releases_of(await read_cluster(client, STATE), name, components)
        held = [release for _, release in releases if release.spec.suspend]
        if not held:
            session.tell(f"No release of {name} is held")
            return {}
        for release in held:
            session.tell(f"  ~ HelmRelease {release.key}")
        if dry_run:
            return {}
        confirm(session, f"{len(held)} of them go{'es' if len(held) == 1 else ''} on. Do you want to continue?", yes=yes)
        now = (session.clock.now() if session.clock is not None else datetime.now(UTC)).isoformat()
        await let_go(client, session, held, now)
        if not wait:
            return {}
        return await wait_for(client, [name], "ready", timeout=timeout, told=lambda name: session.tell(f"{name} is ready"))

    for package, lacks in session.on_cluster(work).items():
        raise CommandError(f"the time is over, and {package} is not ready: {lacks}", code=Exit.TIMED_OUT)
