"""Keep equal parts of PackageSources once.

Nearly every component of a platform names the same libraries and the same values files, and a decoder makes new objects for
each: half of what an informer of PackageSources would hold. So they are replaced by the first that was equal, before anybody
sees the object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import force_setattr

from cozystack.api.cozystack import PackageSource
from cozystack.kube.ownership import forget
from cozystack.kube.store import Entry

_MOST = 4096
"""Different parts that are remembered; a platform has dozens."""


def shared_parts() -> Callable[[PackageSource], Entry[PackageSource]]:
    """A transform for one informer: the object without its ``managedFields``, its equal parts shared with those before it."""
    known: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    first = known.setdefault

    def share(source: PackageSource) -> Entry[PackageSource]:
        if len(known) > _MOST:
            known.clear()
        for variant in source.spec.variants:
            force_setattr(variant, "libraries", first(variant.libraries, variant.libraries))
            for component in variant.components:
                force_setattr(component, "libraries", first(component.libraries, component.libraries))
                force_setattr(component, "values_files", first(component.values_files, component.values_files))
        return forget(source)

    return share
