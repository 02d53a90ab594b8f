"""Delete Packages that the platform does not emit any more, when its values say that such Packages go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.meta import Key
from cozystack.api.names import DEFAULT_VARIANT, NO_DELETE_LABEL
from cozystack.api.resources import PACKAGE_SOURCES, PACKAGES
from cozystack.kube import Client
from cozystack.kube.errors import NotFound


async def prune(client: Client, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The Packages whose deletion was asked for, and those that stay, each with the reason. What is gone is gone."""
    packages = (await client.list(PACKAGES)).items
    sources = (await client.list(PACKAGE_SOURCES)).items
    kept = needed(names, packages, sources)
    gone = []
    for package in packages:
        name = package.metadata.name
        if name in names and name not in kept:
            try:
                await client.delete(PACKAGES, Key("", name), uid=package.metadata.uid)
            except NotFound:
                continue
            gone.append(name)
    return gone, kept


def needed(names: Sequence[str], packages: Iterable[Package], sources: Iterable[PackageSource]) -> dict[str, str]:
    """Those of ``names`` that stay, each with the reason: it is labelled so, or a Package that stays depends on it, also
    through another of them."""
    packages = list(packages)
    variants = {
        (source.metadata.name, variant.name): variant.depends_on for source in sources for variant in source.spec.variants
    }
    depends = {
        package.metadata.name: variants.get((package.metadata.name, package.spec.variant or DEFAULT_VARIANT), ())
        for package in packages
    }
    # Whoever deletes such a Package is refused by the deletion guard, and would be tried again for ever.
    kept = {
        package.metadata.name: f"it carries the label {NO_DELETE_LABEL}"
        for package in packages
        if package.metadata.name in names and package.metadata.labels.get(NO_DELETE_LABEL) == "true"
    }
    while True:
        staying = {name for name in depends if name not in names or name in kept}
        found = {
            name: f"{dependent} depends on it"
            for dependent in sorted(staying)
            for name in depends[dependent]
            if name in names and name in depends and name not in kept
        }
        if not found:
            return kept
        kept |= found
