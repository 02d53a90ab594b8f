"""``cozypkg add``: Packages with all that they need, in one plan (specification, cozypkg 7)."""

from __future__ import annotations

import shutil

import click

from cozystack.cozypkg.adding import Plan, Request, make_plan, read_request, world_for
from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.options import Duration, cluster_options, dry_run_option, files_option, output_option, yes_option
from cozystack.cozypkg.output import Format, write_json, write_yaml
from cozystack.cozypkg.prompts import confirm
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.writing import write_all
from cozystack.kube import Client


@click.command("add")
@click.argument("names", nargs=-1, metavar="[NAME[=VARIANT]]...")
@files_option("Add what this file or folder holds: Packages as they are there, PackageSources too; - is standard input.")
@click.option("--variant", "variants", multiple=True, metavar="NAME=VARIANT", help="Variant of a package. Repeatable.")
@click.option("--default-variants", is_flag=True, help="Never ask: take default, or the first where there is none.")
@click.option("--all-variants", is_flag=True, help="Add what any variant needs, not only the chosen one.")
@click.option("--no-deps", is_flag=True, help="Add what is named, and nothing that it needs.")
@click.option("--update", is_flag=True, help="Change what is installed, where a file or a variant differs.")
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
    names: tuple[str, ...],
    files: tuple[str, ...],
    variants: tuple[str, ...],
    default_variants: bool,
    all_variants: bool,
    no_deps: bool,
    update: bool,
    force_conflicts: bool,
    wait: bool,
    timeout: float,
    offline: str,
    yes: bool,
    dry_run: bool,
    output: Format,
) -> None:
    """Add Packages and all that they need: shown, confirmed, then written, dependencies first."""
    request = read_request(session, names, variants, files)
    request.default_variants = default_variants
    request.all_variants = all_variants
    request.no_deps = no_deps
    request.update = update
    request.ask = session.interactive and not yes and not default_variants
    carry_out(
        session, request, offline=offline, force=force_conflicts, yes=yes, dry_run=dry_run, output=output,
        wait=timeout if wait else None,
    )  # fmt: skip


def carry_out(
    session: Session,
    request: Request,
    *,
    offline: str,
    force: bool,
    yes: bool,
    dry_run: bool,
    output: Format,
    wait: float | None,
) -> None:
    """Plan, show, ask, write; ``wait`` is for how many seconds to wait for the result."""
    plan = make_plan(session, request, world_for(session, offline))
    for warning in plan.warnings:
        session.tell(f"warning: {warning}")
    if offline and output == "table":
        write_yaml([dict(write.value) for write in plan.writes() if write.how == "apply"], session.stdout)
        return
    if dry_run or offline:
        _print(session, plan, output, written=False)
        return
    if plan.empty:
        session.tell("everything is installed already")
    else:
        width = shutil.get_terminal_size((80, 24)).columns if session.stderr.isatty() else None
        for line in plan.table(width):
            session.tell(line)
        confirm(session, f"{_count(plan)}. Do you want to continue?", yes=yes)
        session.on_cluster(lambda client: write_all(client, session, plan.writes(), force=force))
    if output != "table":
        _print(session, plan, output, written=not plan.empty)
    if wait is not None:
        _wait(session, [action.step.name for action in plan.actions], wait)


def _count(plan: Plan) -> str:
    count = len(plan.writes())
    return f"{count} object{'' if count == 1 else 's'} will be written"


def _print(session: Session, plan: Plan, output: Format, *, written: bool) -> None:
    match output:
        case "json":
            write_json(plan.as_json(written=written), session.stdout)
        case "yaml":
            write_yaml(plan.as_json(written=written), session.stdout)
        case "name":
            session.stdout.writelines(f"{action.step.name}\n" for action in plan.actions if action.verb != "none")
        case _:
            width = shutil.get_terminal_size((80, 24)).columns if session.stdout.isatty() else None
            session.stdout.writelines(f"{line}\n" for line in plan.table(width))


def _wait(session: Session, names: list[str], timeout: float) -> None:
    async def work(client: Client) -> dict[str, str]:
        from cozystack.cozypkg.waiting import wait_for

        return await wait_for(client, names, "ready", timeout=timeout, told=lambda name: session.tell(f"{name} is ready"))

    missing = session.on_cluster(work)
    for name, lacks in missing.items():
        session.tell(f"{name}: {lacks}")
    if missing:
        raise CommandError(f"the time is over, and {len(missing)} of {len(names)} are not ready", code=Exit.TIMED_OUT)
