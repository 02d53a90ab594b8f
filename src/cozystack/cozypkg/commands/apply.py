"""``cozypkg apply``: do exactly what a saved plan says, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cozystack.api.meta import Key
from cozystack.api.resources import PACKAGE_SOURCES, PACKAGES, Resource
from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.options import cluster_options, dry_run_option, yes_option
from cozystack.cozypkg.prompts import confirm
from cozystack.cozypkg.rollout import roll_out_after_asking
from cozystack.cozypkg.savedplan import SavedPlan, check, load
from cozystack.cozypkg.session import MANAGER, Session
from cozystack.cozypkg.world import STATE, read_cluster
from cozystack.cozypkg.writing import one_line

if TYPE_CHECKING:
    from cozystack.kube import Client

_RESOURCES: dict[str, Resource[Any]] = {"Package": PACKAGES, "PackageSource": PACKAGE_SOURCES}
_MARKS = {"apply": "+", "patch": "~", "delete": "-"}


@click.command("apply")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@yes_option
@click.option(
    "--confirm", "confirmed", default="", metavar="WORD", help="The word that is asked for where there is no way back."
)
@dry_run_option
@cluster_options
def command(session: Session, file: Path, yes: bool, confirmed: str, dry_run: bool) -> None:
    """Do what a plan of `cozypkg plan --out FILE` says; refused when the cluster is not what it was made for."""
    plan = load(file)
    session.on_cluster(lambda client: _check(plan, client, session))
    if plan.rollout is not None:
        roll_out_after_asking(session, plan.rollout, yes=yes, confirmed=confirmed, dry_run=dry_run)
        return
    for edit in plan.edits:
        session.tell(f"  {_MARKS[edit.action]} {edit.kind} {edit.name}")
    if not plan.edits:
        session.tell("the plan holds nothing to write")
        return
    if dry_run:
        return
    confirm(session, f"Write {len(plan.edits)} object{'s' if len(plan.edits) > 1 else ''}?", yes=yes)
    session.on_cluster(lambda client: _apply(plan, client, session))


async def _check(plan: SavedPlan, client: Client, session: Session) -> None:
    check(plan, session.server, await read_cluster(client, STATE))


async def _apply(plan: SavedPlan, client: Client, session: Session) -> None:
    """A dry run of everything comes first, so that what the API server refuses is refused before anything is written."""
    from cozystack.kube.errors import ApiError, Conflict, KubeError, NotFound, Unauthorized

    # Somebody may have taken a while to answer the question.
    await _check(plan, client, session)
    for dry_run in (True, False):
        done = 0
        for edit in plan.edits:
            resource = _RESOURCES[edit.kind]
            try:
                if edit.action == "apply":
                    await client.apply(resource, edit.value, manager=MANAGER, force=True, dry_run=dry_run)
                elif edit.action == "patch":
                    await client.patch(
                        resource, Key("", edit.name), list(edit.patch), kind="json", manager=MANAGER, dry_run=dry_run
                    )
                else:
                    await client.delete(resource, Key("", edit.name), uid=edit.uid, dry_run=dry_run)
            except (Conflict, NotFound) as error:
                raise CommandError(f"{edit.kind} {edit.name}: {error.message}; {_told(done)}", code=Exit.MOVED) from error
            except Unauthorized:
                raise
            except ApiError as error:
                raise CommandError(f"{edit.kind} {edit.name} is refused: {one_line(error.message)}; {_told(done)}") from error
            except KubeError as error:
                raise CommandError(f"{edit.kind} {edit.name}: {error}; {_told(done)}") from error
            if not dry_run:
                done += 1
                session.tell(f"{'deleted' if edit.action == 'delete' else 'wrote'} {edit.kind} {edit.name}")


def _told(done: int) -> str:
    return f"{done} written before it stay" if done else "nothing was written"
