"""``cozypkg export``: what is installed, as files that ``import`` (or kubectl) takes on another cluster."""

from __future__ import annotations

from typing import Any

import click

from cozystack.api import names as well_known
from cozystack.api.cozystack import Package, PackageSource
from cozystack.cozypkg.options import cluster_options, files_option, output_option
from cozystack.cozypkg.output import Format, plain, write_json, write_yaml
from cozystack.cozypkg.session import Session
from cozystack.cozypkg.world import look
from cozystack.cozypkg.writing import sentences
from cozystack.planner.closure import bundle
from cozystack.planner.sentences import did_you_mean, listed


@click.command("export")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--bundled", is_flag=True, help="Include Packages that a bundle of the platform made.")
@click.option("--sources", is_flag=True, help="Include the PackageSources of the Packages.")
@files_option()
@output_option("yaml", "json", "name", default="yaml")
@cluster_options
def command(
    session: Session, names: tuple[str, ...], bundled: bool, sources: bool, files: tuple[str, ...], output: Format
) -> None:
    """Print Packages as they are wanted, without status and without what a cluster adds."""
    world = look(session, files)
    missing = [name for name in names if name not in world.packages]
    if missing:
        raise sentences([f"{world.origin} has no Package {name}{did_you_mean(name, world.packages)}" for name in missing])
    chosen = [world.packages[name] for name in (names or sorted(world.packages))]
    if not names and not bundled:
        left_out = [package for package in chosen if bundle(package)]
        chosen = [package for package in chosen if not bundle(package)]
        if left_out:
            session.tell(f"note: {len(left_out)} that a bundle made left out; --bundled includes them")
    if not names:
        going = [package for package in chosen if package.metadata.deletion_timestamp is not None]
        chosen = [package for package in chosen if package.metadata.deletion_timestamp is None]
        if going:
            session.tell(f"note: {listed(each.metadata.name for each in going)} left out, being deleted")
    objects: list[Package | PackageSource] = []
    if sources:
        lost = [package.metadata.name for package in chosen if package.metadata.name not in world.sources]
        if lost:
            session.tell(f"note: {listed(lost)} without a PackageSource: there is none any more")
        objects += (world.sources[package.metadata.name] for package in chosen if package.metadata.name in world.sources)
    objects += chosen
    match output:
        case "json":
            items = [portable(obj) for obj in objects]
            write_json({"apiVersion": "v1", "kind": "List", "items": items}, session.stdout)
        case "name":
            session.stdout.writelines(f"{obj.metadata.name}\n" for obj in objects)
        case _:
            write_yaml([portable(obj) for obj in objects], session.stdout)


def portable(obj: Package | PackageSource) -> dict[str, Any]:
    """An object as somebody could have written it: name, labels and annotations that are not Helm's, spec."""
    value = plain(obj)
    metadata: dict[str, Any] = {"name": obj.metadata.name}
    for field in ("labels", "annotations"):
        kept = {key: text for key, text in sorted(value["metadata"].get(field, {}).items()) if not _is_of_helm(key)}
        if kept:
            metadata[field] = kept
    spec = value.get("spec")
    return {"apiVersion": value["apiVersion"], "kind": value["kind"], "metadata": metadata, **({"spec": spec} if spec else {})}


def _is_of_helm(key: str) -> bool:
    domain = key.rpartition("/")[0]
    return (
        domain in ("meta.helm.sh", "helm.toolkit.fluxcd.io", "kubectl.kubernetes.io")
        or key in ("app.kubernetes.io/managed-by", well_known.RESOURCE_POLICY_ANNOTATION)
        or key.startswith("kustomize.toolkit.fluxcd.io/")
    )
