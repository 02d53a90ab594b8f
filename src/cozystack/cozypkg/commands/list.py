"""``cozypkg list``: what can be installed, and with ``-i`` what is (specification, cozypkg 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.meta import Key, find_condition
from cozystack.api.resources import PACKAGE_SOURCES, PACKAGES
from cozystack.cozypkg.options import cluster_options, files_option, output_option
from cozystack.cozypkg.output import Column, Format, plain, write_json, write_table, write_yaml
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import STATE, World, look
from cozystack.planner.closure import AS_DEPENDENCY, INSTALLED_AS_ANNOTATION
from cozystack.planner.progress import standing
from cozystack.planner.selection import find_variant, release_key

if TYPE_CHECKING:
    from cozystack.planner import Catalogue

_OFFERED = (Column("NAME"), Column("VARIANTS", shrinks=True), Column("READY"), Column("STATUS", shrinks=True))
_INSTALLED = (
    Column("NAME"),
    Column("VARIANT", shrinks=True),
    Column("READY"),
    Column("STATE", wide=True),
    Column("RELEASES", wide=True),
    Column("ASKED FOR", wide=True),
    Column("STATUS", shrinks=True),
)
_ORDER = {"False": 0, "Unknown": 1, "True": 2}


@click.command("list")
@click.option("-i", "--installed", is_flag=True, help="List what is installed.")
@click.option("--components", is_flag=True, help="Add a row for every component.")
@click.option(
    "--sort", type=click.Choice(["name", "ready"]), default="name", help="ready: what is not, first.  [default: name]"
)
@files_option()
@output_option()
@cluster_options
def command(session: Session, installed: bool, components: bool, sort: str, files: tuple[str, ...], output: Format) -> None:
    """List the packages that can be installed, or those that are."""
    kinds = (PACKAGE_SOURCES,) if not installed else STATE if components else (PACKAGES,)
    world = look(session, files, kinds)
    found: Mapping[str, Package | PackageSource] = world.packages if installed else world.sources
    objects = [found[name] for name in sorted(found)]
    if sort == "ready":
        objects.sort(key=lambda obj: _ORDER.get(_ready(obj)[0], 1))
    match output:
        case "json":
            write_json([plain(obj) for obj in objects], session.stdout)
        case "yaml":
            write_yaml([plain(obj) for obj in objects], session.stdout)
        case "name":
            session.stdout.writelines(f"{obj.metadata.name}\n" for obj in objects)
        case _:
            names = [obj.metadata.name for obj in objects]
            rows = _installed_rows(world, names, components) if installed else _offered_rows(world, names, components)
            columns = _INSTALLED if installed else _OFFERED
            write_table(columns, list(rows), session.stdout, wide=output == "wide")


def _offered_rows(world: World, names: list[str], components: bool) -> Iterator[tuple[str, ...]]:
    for name in names:
        source = world.sources[name]
        variants = ",".join(variant.name for variant in source.spec.variants)
        yield name, variants, *_ready(source)
        if components:
            for variant in source.spec.variants:
                for component in variant.components:
                    yield f"  {name}.{component.name}", variant.name, "", ""


def _installed_rows(world: World, names: list[str], components: bool) -> Iterator[tuple[str, ...]]:
    view = world.catalogue() if components else None
    for name in names:
        package = world.packages[name]
        how = standing(package)
        ready, message = _ready(package)
        pulled_in = package.metadata.annotations.get(INSTALLED_AS_ANNOTATION) == AS_DEPENDENCY
        releases = f"{how.releases_ready}/{how.releases}"
        yield name, package.variant, ready, how.state, releases, "no" if pulled_in else "yes", message
        if view is not None:
            yield from _component_rows(view, package)


def _component_rows(view: Catalogue, package: Package) -> Iterator[tuple[str, ...]]:
    """The components of the variant that is installed, each with its release (cozypkg-L2)."""
    source = view.source(package.metadata.name)
    variant = find_variant(source, package.variant) if source is not None else None
    if source is None or variant is None:
        return
    for component in variant.components:
        row = f"  {package.metadata.name}.{component.name}", variant.name
        if component.install is None:
            yield *row, "", "", "", "", "an artifact only"
        elif package.override(component.name).enabled is False:
            yield *row, "", "", "", "", "disabled"
        else:
            key = release_key(component, component.install)
            ready, message = _release_ready(view, key)
            yield *row, ready, "", "", "", message


def _release_ready(view: Catalogue, key: Key) -> tuple[str, str]:
    live = view.release(key)
    if live is None:
        return "False", "not installed yet"
    ready = find_condition(live.status.conditions, "Ready")
    return (ready.status, ready.message) if ready is not None else ("Unknown", "")


def _ready(obj: Package | PackageSource) -> tuple[str, str]:
    ready = find_condition(obj.status.conditions, "Ready")
    return (ready.status, ready.message) if ready is not None else ("Unknown", "")
