"""``cozypkg del``: Packages with all that need them, layer by layer (specification, cozypkg 8)."""

from __future__ import annotations

import shutil
from typing import Any

import click

from cozystack.api.meta import Key
from cozystack.api.resources import PACKAGES
from cozystack.cozypkg.documents import read_all
from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.options import Duration, cluster_options, dry_run_option, files_option, output_option, yes_option
from cozystack.cozypkg.output import Column, Format, plain, table_lines, write_json, write_yaml
from cozystack.cozypkg.prompts import confirm, confirm_word
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import STATE, World, read_cluster, read_files
from cozystack.cozypkg.writing import sentences, tick
from cozystack.kube import Client
from cozystack.planner.catalogue import Catalogue
from cozystack.planner.closure import Deletion, DeletionPlan, plan_deletion
from cozystack.planner.sentences import did_you_mean

_COLUMNS = (Column("STEP"), Column("NAME"), Column("VARIANT"), Column("RELEASES"), Column("BECAUSE", shrinks=True))


@click.command("del")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@files_option("Delete the Packages that this file or folder names; - is standard input.")
@click.option("--no-cascade", is_flag=True, help="Delete nothing that is not named; refuse where something else needs it.")
@click.option("--autoremove", is_flag=True, help="Delete dependencies as well that nothing needs any more.")
@click.option("--confirm", "confirmed", multiple=True, metavar="NAME", help="Delete NAME though it is protected. Repeatable.")
@click.option("--wait/--no-wait", default=True, help="Wait for the releases of the last step too, or not.  [default: wait]")
@click.option("--timeout", type=Duration(), default="10m", show_default=True, help="How long one step may take.")
@click.option("--offline", default="", metavar="PATH", help="Take this file or folder for the cluster, and print what is left.")
@yes_option
@dry_run_option
@output_option("table", "json", "yaml", "name")
@cluster_options
def command(
    session: Session,
    names: tuple[str, ...],
    files: tuple[str, ...],
    no_cascade: bool,
    autoremove: bool,
    confirmed: tuple[str, ...],
    wait: bool,
    timeout: float,
    offline: str,
    yes: bool,
    dry_run: bool,
    output: Format,
) -> None:
    """Delete Packages and whatever needs them: who needs something goes before it, and is gone before it goes."""
    roots = list(dict.fromkeys([*names, *(found.object.metadata.name for found in read_all(files, session.standard_input))]))
    if not roots and not autoremove:
        raise CommandError("no packages specified")
    if offline:
        world = read_files([offline], session.standard_input)
    else:
        world = session.on_cluster(lambda client: read_cluster(client, STATE))
    view = world.catalogue()
    plan = plan_deletion(view, roots, cascade=not no_cascade, autoremove=autoremove)
    for warning in world.warnings:
        session.tell(f"warning: {warning}")
    for name in plan.absent:
        session.tell(f"warning: Package {name} is not installed, skipping{did_you_mean(name, world.packages)}")
    if plan.held:
        raise sentences(
            [f"Package {name} stays: {', '.join(who)} need{'s' if len(who) == 1 else ''} it" for name, who in plan.held.items()]
        )
    _tell_of_bundles(session, plan)
    if offline:
        _print_rest(session, world, plan)
        return
    if dry_run or not plan.layers:
        if not plan.layers:
            session.tell("No packages found to delete")
        if plan.layers or output != "table":
            _print(session, view, plan, output, deleted=False)
        return
    width = shutil.get_terminal_size((80, 24)).columns if session.stderr.isatty() else None
    for line in _table(view, plan, width):
        session.tell(line)
    _confirm(session, plan, set(confirmed), yes=yes)
    session.on_cluster(lambda client: _delete(client, session, plan, timeout, wait=wait))
    if output != "table":
        _print(session, view, plan, output, deleted=True)


def _confirm(session: Session, plan: DeletionPlan, confirmed: set[str], *, yes: bool) -> None:
    """The extra words first: whoever lacks one need not answer anything else (cozypkg-R4)."""
    protected = [deletion for deletion in plan.deletions if deletion.protected]
    missing = [deletion for deletion in protected if deletion.name not in confirmed]
    if missing and not session.interactive:
        words = " ".join(f"--confirm {deletion.name}" for deletion in missing)
        why = "; ".join(f"{deletion.name}: {deletion.protected}" for deletion in missing)
        raise CommandError(f"{why}. Nothing was deleted: say {words}", code=Exit.DECLINED)
    for deletion in missing:
        confirm_word(session, f"{deletion.name}: {deletion.protected}.", deletion.name, given="")
    count = len(plan.deletions)
    confirm(session, f"{count} Package{'' if count == 1 else 's'} will be deleted. Do you want to continue?", yes=yes)


async def _delete(client: Client, session: Session, plan: DeletionPlan, timeout: float, *, wait: bool) -> None:
    from cozystack.cozypkg.waiting import wait_for

    for number, layer in enumerate(plan.layers, start=1):
        for deletion in layer:
            if not deletion.going:
                await _delete_one(client, session, deletion)
        if number == len(plan.layers) and not wait:
            return
        names = [deletion.name for deletion in layer]
        missing = await wait_for(client, names, "deleted", timeout=timeout, told=lambda name: session.tell(f"{name} is gone"))
        if missing:
            for name, lacks in missing.items():
                session.tell(f"{name}: {lacks}")
            left = [deletion.name for later in plan.layers[number:] for deletion in later]
            rest = f"; not deleted because of that: {', '.join(left)}" if left else ""
            raise CommandError(f"the time is over, and {', '.join(missing)} did not go{rest}", code=Exit.TIMED_OUT)


async def _delete_one(client: Client, session: Session, deletion: Deletion) -> None:
    from cozystack.cozypkg.guarded import delete_confirmed
    from cozystack.kube.errors import ApiError, Conflict, NotFound, Unauthorized

    key = Key("", deletion.name)
    try:
        if deletion.protected:
            await delete_confirmed(client, PACKAGES, key, uid=deletion.uid)
        else:
            await client.delete(PACKAGES, key, uid=deletion.uid)
    except NotFound:
        session.tell(f"warning: Package {deletion.name} is gone already")
    except Conflict as error:
        raise CommandError(
            f"Package {deletion.name} is not the one that was shown: somebody has made it anew; it was left alone",
            code=Exit.MOVED,
        ) from error
    except Unauthorized:
        raise
    except ApiError as error:
        raise CommandError(f"Package {deletion.name} cannot be deleted: {error.message}") from error
    else:
        session.tell(f"{tick(session)} Deleted Package {deletion.name}")


def _tell_of_bundles(session: Session, plan: DeletionPlan) -> None:
    """What a bundle made, it makes again (cozypkg-R5)."""
    made: dict[str, list[str]] = {}
    for deletion in plan.deletions:
        if deletion.bundle:
            made.setdefault(deletion.bundle, []).append(deletion.name)
    for release, packages in sorted(made.items()):
        verb, them = ("come", "them") if len(packages) > 1 else ("comes", "it")
        session.tell(
            f"note: {', '.join(packages)} {verb} from the bundle of the Helm release {release}, which may make {them} again; "
            f"to keep {them} away, add {them} to bundles.disabledPackages in the values of the platform"
        )


def _because(deletion: Deletion) -> str:
    if deletion.because == "dependent":
        return f"needs {', '.join(deletion.needs)}"
    return "asked for" if deletion.because == "asked" else "nothing needs it any more"


def _table(view: Catalogue, plan: DeletionPlan, width: int | None) -> list[str]:
    rows = [
        (
            str(number),
            deletion.name,
            deletion.variant,
            str(len(view.releases_of(deletion.name))),
            _because(deletion) + (", being deleted already" if deletion.going else ""),
        )
        for number, layer in enumerate(plan.layers, start=1)
        for deletion in layer
    ]
    return table_lines(_COLUMNS, rows, available=width)


def _as_json(view: Catalogue, plan: DeletionPlan, *, deleted: bool) -> dict[str, Any]:
    return {
        "deleted": deleted,
        "packages": [
            {
                "step": number,
                "name": deletion.name,
                "variant": deletion.variant,
                "because": deletion.because,
                "needs": list(deletion.needs),
                "releases": [str(key) for key in sorted(view.releases_of(deletion.name))],
                "protected": deletion.protected,
                "bundle": deletion.bundle,
            }
            for number, layer in enumerate(plan.layers, start=1)
            for deletion in layer
        ],
        "absent": list(plan.absent),
    }


def _print(session: Session, view: Catalogue, plan: DeletionPlan, output: Format, *, deleted: bool) -> None:
    match output:
        case "json":
            write_json(_as_json(view, plan, deleted=deleted), session.stdout)
        case "yaml":
            write_yaml(_as_json(view, plan, deleted=deleted), session.stdout)
        case "name":
            session.stdout.writelines(f"{deletion.name}\n" for deletion in plan.deletions)
        case _:
            width = shutil.get_terminal_size((80, 24)).columns if session.stdout.isatty() else None
            session.stdout.writelines(f"{line}\n" for line in _table(view, plan, width))


def _print_rest(session: Session, world: World, plan: DeletionPlan) -> None:
    gone = {deletion.name for deletion in plan.deletions}
    write_yaml([plain(world.packages[name]) for name in sorted(world.packages) if name not in gone], session.stdout)
