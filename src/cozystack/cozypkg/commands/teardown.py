"""``cozypkg teardown``: the whole platform goes, in order (specification, packages 9)."""

from __future__ import annotations

from typing import Any

import click

from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.options import Duration, cluster_options, dry_run_option, output_option
from cozystack.cozypkg.output import Column, Format, table_lines, write_json, write_yaml
from cozystack.cozypkg.prompts import confirm_word
from cozystack.cozypkg.session import Session
from cozystack.planner.teardown import Teardown

_COLUMNS = (Column("STEP"), Column("NAME"), Column("VARIANT"))
_WORD = "teardown"


@click.command("teardown")
@click.option("--flux", is_flag=True, help="Flux and its CRDs go too; refused while others use it.")
@click.option("--crds", is_flag=True, help="The CRDs of Packages and PackageSources go too.")
@click.option("--namespaces", is_flag=True, help="The namespaces of the platform go too, with all that is in them.")
@click.option("--all", "everything", is_flag=True, help="All three.")
@click.option("--confirm", "confirmed", default="", metavar="WORD", help="The word that is asked for: the name of the context.")
@click.option("--timeout", type=Duration(), default="10m", show_default=True, help="How long one step may take.")
@dry_run_option
@output_option("table", "json", "yaml")
@cluster_options
def command(
    session: Session,
    flux: bool,
    crds: bool,
    namespaces: bool,
    everything: bool,
    confirmed: str,
    timeout: float,
    dry_run: bool,
    output: Format,
) -> None:
    """Remove Packages in reverse order, then the platform, then its operator. It may be stopped, and called again."""
    from cozystack.cozypkg.dismantling import Wanted, present, read_teardown, tear_down
    from cozystack.kube import load_config
    from cozystack.kube.errors import KubeError

    wanted = Wanted(flux=flux or everything, crds=crds or everything, namespaces=namespaces or everything, timeout=timeout)
    plan = session.on_cluster(read_teardown)
    objects = session.on_cluster(lambda client: present(client, wanted))
    try:
        word = load_config(session.kubeconfig, session.context, session.env).context or _WORD
    except KubeError as error:
        raise CommandError(str(error)) from error
    if wanted.flux:
        _refuse_others(plan)
    shown = _as_json(plan, objects, wanted)
    if not any(shown.values()):
        session.tell("There is nothing of the platform to remove")
        return
    if dry_run:
        if output == "json":
            write_json(shown, session.stdout)
        elif output == "yaml":
            write_yaml(shown, session.stdout)
        else:
            session.stdout.writelines(f"{line}\n" for line in _lines(plan, objects, wanted))
        return
    for line in _lines(plan, objects, wanted):
        session.tell(line)
    confirm_word(session, f"All of this goes from {word}.", word, given=confirmed)
    session.on_cluster(lambda client: tear_down(client, session, plan, wanted))
    session.tell("The platform is gone")


def _refuse_others(plan: Teardown) -> None:
    others = [f"HelmRelease {key}" for key in plan.foreign] + list(plan.repositories)
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        raise CommandError(f"Flux stays, others use it: {', '.join(others[:5])}{more}. Delete them first, or leave --flux out")


def _lines(plan: Teardown, objects: list[str], wanted: Any) -> list[str]:
    """All that goes, for a person."""
    layers = [*plan.layers, *([(plan.platform,)] if plan.platform else [])]
    rows = [(str(number), each.name, each.variant) for number, layer in enumerate(layers, start=1) for each in layer]
    lines = table_lines(_COLUMNS, rows) if rows else []
    if plan.suspended:
        lines.append(f"Suspended, and resumed so that they can be uninstalled: {_keys(plan.suspended)}")
    if plan.sources:
        lines.append(f"Then PackageSources: {', '.join(plan.sources)}")
    if objects:
        lines.append(f"Then by name: {', '.join(objects)}")
    if wanted.namespaces and plan.namespaces:
        lines.append(f"Then namespaces, with all that is in them: {', '.join(plan.namespaces)}")
        if plan.volumes:
            lines.append(f"DATA IS LOST with these PersistentVolumeClaims: {_keys(plan.volumes)}")
    if plan.foreign:
        lines.append(f"These releases stay, without charts from here: {_keys(plan.foreign)}")
    return lines


def _as_json(plan: Teardown, objects: list[str], wanted: Any) -> dict[str, Any]:
    layers = [*plan.layers, *([(plan.platform,)] if plan.platform else [])]
    return {
        "packages": [
            {"step": number, "name": each.name, "variant": each.variant}
            for number, layer in enumerate(layers, start=1)
            for each in layer
        ],
        "suspended": [str(key) for key in plan.suspended],
        "sources": list(plan.sources),
        "objects": objects,
        "namespaces": list(plan.namespaces) if wanted.namespaces else [],
        "volumes": [str(key) for key in plan.volumes] if wanted.namespaces else [],
    }


def _keys(keys: tuple[Any, ...]) -> str:
    return ", ".join(map(str, keys))
