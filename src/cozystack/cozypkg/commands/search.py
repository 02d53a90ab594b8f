"""``cozypkg search``: packages by a part of their name, or of what is in them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cozystack.api.cozystack import PackageSource
from cozystack.cozypkg.options import cluster_options, files_option, output_option
from cozystack.cozypkg.output import Column, Format, write_json, write_table, write_yaml_list
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import look

_COLUMNS = (Column("NAME"), Column("VARIANTS", shrinks=True), Column("INSTALLED"), Column("FOUND IN", shrinks=True))


@click.command("search")
@click.argument("text", nargs=-1, required=True)
@files_option()
@output_option()
@cluster_options
def command(session: Session, text: tuple[str, ...], files: tuple[str, ...], output: Format) -> None:
    """Find packages whose name, variants, components, charts or namespaces hold every TEXT."""
    world = look(session, files)
    wanted = [word.lower() for word in text]
    found = []
    for name in sorted(world.sources):
        source = world.sources[name]
        where = [next((place for place, content in _contents(source) if word in content.lower()), "") for word in wanted]
        if all(where):
            package = world.packages.get(name)
            variants = list(dict.fromkeys(variant.name for variant in source.spec.variants))
            installed = package.variant if package is not None else ""
            found.append({"name": name, "variants": variants, "installed": installed, "foundIn": list(dict.fromkeys(where))})
    match output:
        case "json":
            write_json(found, session.stdout)
        case "yaml":
            write_yaml_list(found, session.stdout)
        case "name":
            session.stdout.writelines(f"{entry['name']}\n" for entry in found)
        case _:
            rows = [
                (str(entry["name"]), ",".join(entry["variants"]), str(entry["installed"] or "no"), ", ".join(entry["foundIn"]))
                for entry in found
            ]
            write_table(_COLUMNS, rows, session.stdout, wide=output == "wide")


def _contents(source: PackageSource) -> Iterator[tuple[str, str]]:
    """What there is to find, and how to say where; what names most comes first."""
    yield "name", source.metadata.name
    for variant in source.spec.variants:
        yield f"variant {variant.name}", variant.name
        for component in variant.components:
            yield f"component {component.name}", component.name
            yield f"chart {component.path}", component.path
            if component.install is not None:
                yield f"namespace {component.install.namespace}", component.install.namespace
