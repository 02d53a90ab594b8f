"""``cozypkg set``: the variant of an installed Package, its components, their values, the dependencies that it ignores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import UNSET

from cozystack.api import yaml
from cozystack.api.cozystack import Package, PackageSource
from cozystack.cozypkg.adding import Plan, Request, make_plan, world_for
from cozystack.cozypkg.documents import broken, content_of
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.options import cluster_options, dry_run_option, output_option, yes_option
from cozystack.cozypkg.output import Format, plain, write_json, write_yaml
from cozystack.cozypkg.prompts import confirm
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import World
from cozystack.cozypkg.writing import Write, write_all
from cozystack.planner.closure import bundle
from cozystack.planner.comparison import FieldChange, field_changes
from cozystack.planner.overrides import EditError, Edits, edited, json_patch, parse_path
from cozystack.planner.sentences import did_you_mean


@click.command("set")
@click.argument("name")
@click.option(
    "--variant", "variants", multiple=True, metavar="[NAME=]VARIANT",
    help="Another variant; what it needs is added, in the variant that is named for it. Repeatable.",
)  # fmt: skip
@click.option(
    "--values", "values", multiple=True, metavar="COMPONENT=FILE", help="All values of a component; - is standard input."
)
@click.option("--set", "assigned", multiple=True, metavar="COMPONENT.PATH=VALUE", help="One value, read as YAML. Repeatable.")
@click.option("--unset", "dropped", multiple=True, metavar="COMPONENT.PATH", help="Drop one value. Repeatable.")
@click.option("--enable", "enabled", multiple=True, metavar="COMPONENT", help="Install a component that was left out.")
@click.option(
    "--disable", "disabled", multiple=True, metavar="COMPONENT", help="Leave a component out; its release is removed."
)
@click.option("--ignore-dependency", "ignored", multiple=True, metavar="NAME", help="Do not wait for this Package.")
@click.option("--respect-dependency", "respected", multiple=True, metavar="NAME", help="Wait for it again.")
@click.option("--no-deps", is_flag=True, help="Add nothing that another variant needs.")
@click.option("--default-variants", is_flag=True, help="Of what is added take default, or the first variant.")
@click.option("--offline", default="", metavar="PATH", help="Take this file or folder for the cluster, and print the result.")
@yes_option
@dry_run_option
@output_option("table", "json", "yaml")
@cluster_options
def command(
    session: Session,
    name: str,
    variants: tuple[str, ...],
    values: tuple[str, ...],
    assigned: tuple[str, ...],
    dropped: tuple[str, ...],
    enabled: tuple[str, ...],
    disabled: tuple[str, ...],
    ignored: tuple[str, ...],
    respected: tuple[str, ...],
    no_deps: bool,
    default_variants: bool,
    offline: str,
    yes: bool,
    dry_run: bool,
    output: Format,
) -> None:
    """Change the installed Package NAME: shown as a difference, confirmed, then written."""
    variant, others = _variants(name, variants)
    world = world_for(session, offline)
    package = world.packages.get(name)
    if package is None:
        hint = f" (cozypkg add {name} installs it)" if name in world.sources else did_you_mean(name, world.packages)
        raise CommandError(f"Package {name} is not installed{hint}")
    source = world.sources.get(name)
    try:
        components = _components(source, variant or package.variant)
        edits = Edits(
            variant=variant,
            values=dict(_values(session, text) for text in values),
            assigned=tuple((*parse_path(path, components), value) for path, value in map(_assignment, assigned)),
            dropped=tuple(parse_path(text, components) for text in dropped),
            enabled=enabled,
            disabled=disabled,
            ignored=ignored,
            respected=respected,
        )
        if edits == Edits():
            raise click.UsageError("say what to change")
        spec = edited(package, source, edits)
    except EditError as error:
        raise CommandError(str(error)) from error
    old: dict[str, Any] = msgspec.to_builtins(package.spec)
    changes = tuple(field_changes(old, spec, ""))
    after = msgspec.structs.replace(package, spec=msgspec.convert(spec, type(package.spec)))
    request = Request(
        roots=[name],
        variants=others,
        no_deps=no_deps or not variant,
        default_variants=default_variants,
        ask=session.interactive and not yes and not default_variants,
    )
    plan = _needed(session, world, after, request)
    if bundle(package):
        session.tell(f"note: the Helm release {bundle(package)} made {name}, and may set it back at its next upgrade")
    for warning in plan.warnings:
        session.tell(f"warning: {warning}")
    if offline:
        write_yaml([plain(after), *(dict(write.value) for write in plan.writes())], session.stdout)
        return
    writes = plan.writes()
    patch = json_patch(old, spec, package.metadata.resource_version)
    if patch:
        writes.append(Write("Package", name, "json", patch, "Changed"))
    lines = [*(_line(change) for change in changes), *(f"also added: {write.name}" for write in plan.writes())]
    if dry_run or not writes:
        if not writes:
            session.tell("nothing differs")
        elif output == "table":
            session.stdout.writelines(f"{line}\n" for line in (f"Package {name}", *lines))
    else:
        for line in (f"Package {name}", *lines):
            session.tell(line)
        confirm(session, "Do you want to continue?", yes=yes)
        session.on_cluster(lambda client: write_all(client, session, writes))
    if output != "table":
        result = {
            "name": name,
            "written": bool(writes) and not dry_run,
            "changes": [msgspec.to_builtins(change) for change in changes],
            "added": [write.name for write in plan.writes()],
        }
        (write_json if output == "json" else write_yaml)(result, session.stdout)


def _components(source: PackageSource | None, variant: str) -> list[str]:
    if source is None:
        return []
    return [component.name for each in source.spec.variants if each.name == variant for component in each.components]


def _values(session: Session, text: str) -> tuple[str, Any]:
    """``COMPONENT=FILE``: the values in that file, which must be a map."""
    component, equals, file = text.partition("=")
    if not equals or not component or not file:
        raise CommandError(f'--values is COMPONENT=FILE, not "{text}"')
    try:
        content = session.standard_input() if file == "-" else content_of(Path(file))
        value = yaml.load(content, source="standard input" if file == "-" else file)
    except yaml.YamlError as error:
        raise broken(error) from error
    if value is not None and not isinstance(value, dict):
        raise CommandError(f"{file}: values are a map, and this is none")
    return component, value or {}


def _assignment(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f'--set is COMPONENT.PATH=VALUE, not "{text}"')
    try:
        return path, yaml.load(value, source=f"the value of {path}") if value else ""
    except yaml.YamlError as error:
        raise broken(error) from error


def _variants(name: str, given: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """The variant of the Package itself, and those of others that are added because of it."""
    own = ""
    others: dict[str, str] = {}
    for text in given:
        of, equals, variant = text.rpartition("=")
        if not variant or (equals and not of):
            raise CommandError(f'--variant is VARIANT or NAME=VARIANT, not "{text}"')
        if of in ("", name):
            own = variant
        else:
            others[of] = variant
    return own, others


def _needed(session: Session, world: World, after: Package, request: Request) -> Plan:
    """What has to be added for the Package as it will be; it itself is written by a patch of its own."""
    packages = {**world.packages, after.metadata.name: after}
    plan = make_plan(session, request, World(world.origin, world.live, dict(world.sources), packages))
    plan.actions = [action for action in plan.actions if action.verb == "create"]
    return plan


def _line(change: FieldChange) -> str:
    old = "(not set)" if change.old is UNSET else _shown(change.old)
    new = "(not set)" if change.new is UNSET else _shown(change.new)
    return f"  {change.path}: {old} -> {new}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value else msgspec.json.encode(value).decode()
