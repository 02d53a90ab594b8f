"""``cozypkg show``: one package with its variants, components, what it needs and who needs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from cozystack.api.cozystack import Component, Package, PackageSource, Variant
from cozystack.api.meta import find_condition
from cozystack.cozypkg.options import cluster_options, files_option, output_option
from cozystack.cozypkg.output import Column, Format, write_json, write_table, write_yaml
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import World, look, unknown
from cozystack.planner.closure import AS_DEPENDENCY, INSTALLED_AS_ANNOTATION, bundle

_COMPONENTS = (
    Column("  COMPONENT"),
    Column("CHART", shrinks=True),
    Column("NAMESPACE"),
    Column("RELEASE"),
    Column("AFTER", shrinks=True),
    Column("VALUES FILES", wide=True),
    Column("NOTE"),
)


@click.command("show")
@click.argument("name")
@files_option()
@output_option("table", "wide", "json", "yaml")
@cluster_options
def command(session: Session, name: str, files: tuple[str, ...], output: Format) -> None:
    """Show package NAME: its variants, their components, what each needs, and who needs it."""
    world = look(session, files)
    source, package = world.sources.get(name), world.packages.get(name)
    if source is None and package is None:
        raise unknown(world, name)
    value = _value(world, name, source, package)
    if output == "json":
        write_json(value, session.stdout)
    elif output == "yaml":
        write_yaml(value, session.stdout)
    else:
        _write(session, value, wide=output == "wide")


def _value(world: World, name: str, source: PackageSource | None, package: Package | None) -> dict[str, Any]:
    return {
        "name": name,
        "installed": _installed(package) if package is not None else None,
        "source": _source(source) if source is not None else None,
        "variants": [_variant(variant, package) for variant in source.spec.variants] if source is not None else [],
        "neededBy": list(_needed_by(world, name)),
    }


def _installed(package: Package) -> dict[str, Any]:
    ready = find_condition(package.status.conditions, "Ready")
    return {
        "variant": package.variant,
        "ready": ready.status if ready is not None else "Unknown",
        "message": ready.message if ready is not None else "",
        "asked": package.metadata.annotations.get(INSTALLED_AS_ANNOTATION) != AS_DEPENDENCY,
        "bundle": bundle(package),
        "ignoreDependencies": list(package.spec.ignore_dependencies),
    }


def _source(source: PackageSource) -> dict[str, Any]:
    ready = find_condition(source.status.conditions, "Ready")
    ref = source.spec.source_ref
    return {
        "from": f"{ref.kind} {ref.namespace}/{ref.name}" if ref is not None else "",
        "ready": ready.status if ready is not None else "Unknown",
        "message": ready.message if ready is not None else "",
    }


def _variant(variant: Variant, package: Package | None) -> dict[str, Any]:
    chosen = package if package is not None and package.variant == variant.name else None
    return {
        "name": variant.name,
        "installed": chosen is not None,
        "dependsOn": list(variant.depends_on),
        "components": [_component(component, chosen) for component in variant.components],
    }


def _component(component: Component, package: Package | None) -> dict[str, Any]:
    install = component.install
    found = {"name": component.name, "chart": component.path, "valuesFiles": list(component.values_files)}
    if install is None:
        return {**found, "installed": False}
    override = package.override(component.name) if package is not None else None
    return {
        **found,
        "installed": override is None or override.enabled is not False,
        "namespace": install.namespace,
        "release": install.release_name or component.name,
        "privileged": install.privileged,
        "dependsOn": list(install.depends_on),
    }


def _needed_by(world: World, name: str) -> Iterator[dict[str, Any]]:
    """Those whose variants name it; of installed ones, whether their own variant does, and they do not ignore it."""
    for other in sorted(world.sources):
        variants = [variant.name for variant in world.sources[other].spec.variants if name in variant.depends_on]
        if variants:
            package = world.packages.get(other)
            needing = package is not None and package.variant in variants and name not in package.spec.ignore_dependencies
            yield {"name": other, "variants": variants, "installed": needing}


def _write(session: Session, value: dict[str, Any], *, wide: bool) -> None:
    out = session.stdout
    out.write(f"Name:        {value['name']}\n")
    installed, source = value["installed"], value["source"]
    if installed is None:
        out.write("Installed:   no\n")
    else:
        how = f", by the Helm release {installed['bundle']}" if installed["bundle"] else ""
        how = how or ("" if installed["asked"] else ", as a dependency")
        out.write(f"Installed:   variant {installed['variant']}{how}\n")
        out.write(f"Ready:       {_ready(installed)}\n")
        if installed["ignoreDependencies"]:
            out.write(f"Ignores:     {', '.join(installed['ignoreDependencies'])}\n")
    if source is None:
        out.write("Source:      there is no PackageSource of that name\n")
    else:
        out.write(f"Source:      {source['from'] or 'no charts'}, ready: {_ready(source)}\n")
    needed = [f"{entry['name']}{_how(entry)}" for entry in value["neededBy"]]
    out.write(f"Needed by:   {', '.join(needed) or 'nothing'}\n")
    for variant in value["variants"]:
        mark = " (installed)" if variant["installed"] else ""
        needs = f", needs {', '.join(variant['dependsOn'])}" if variant["dependsOn"] else ""
        out.write(f"\nVariant {variant['name']}{mark}{needs}\n")
        if variant["components"]:
            rows = [_row(component, variant["installed"]) for component in variant["components"]]
            write_table(_COMPONENTS, rows, out, wide=wide)


def _ready(value: dict[str, Any]) -> str:
    return f"{value['ready']} ({value['message']})" if value["message"] else str(value["ready"])


def _how(entry: dict[str, Any]) -> str:
    return " (installed)" if entry["installed"] else f" (variant {', '.join(entry['variants'])})"


def _row(component: dict[str, Any], installed: bool) -> tuple[str, ...]:
    notes = []
    if "release" not in component:
        notes.append("an artifact only")
    elif installed and not component["installed"]:
        notes.append("disabled")
    if component.get("privileged"):
        notes.append("privileged")
    return (
        f"  {component['name']}",
        component["chart"],
        component.get("namespace", ""),
        component.get("release", ""),
        ", ".join(component.get("dependsOn", ())),
        ", ".join(component["valuesFiles"]),
        ", ".join(notes),
    )
