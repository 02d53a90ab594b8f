"""Packages that go, and those that others need."""

from __future__ import annotations

import msgspec

from cozystack.api.cozystack import Package, PackageSource
from cozystack.migrate.pruning import needed
from support.operator import package, source


def test_what_nobody_needs_goes() -> None:
    assert needed(["acme.a"], *platform({"acme.a": [], "acme.b": []})) == {}


def test_what_a_package_that_stays_depends_on_stays_with_all_that_it_depends_on() -> None:
    found = needed(
        ["acme.a", "acme.b", "acme.d"], *platform({"acme.a": [], "acme.b": ["acme.a"], "acme.c": ["acme.b"], "acme.d": []})
    )
    assert found == {"acme.b": "acme.c depends on it", "acme.a": "acme.b depends on it"}


def test_what_depends_on_each_other_goes_together() -> None:
    assert needed(["acme.a", "acme.b"], *platform({"acme.a": ["acme.b"], "acme.b": ["acme.a"], "acme.c": []})) == {}


def test_what_is_labelled_not_to_be_deleted_stays_with_what_it_needs() -> None:
    """packages-G1: the deletion guard would refuse it."""
    packages, sources = platform({"acme.a": [], "acme.b": ["acme.a"], "acme.c": []})
    labelled = msgspec.structs.replace(packages[1].metadata, labels={"platform.cozystack.io/no-delete": "true"})
    packages[1] = msgspec.structs.replace(packages[1], metadata=labelled)
    assert needed(["acme.a", "acme.b", "acme.c"], packages, sources) == {
        "acme.b": "it carries the label platform.cozystack.io/no-delete",
        "acme.a": "acme.b depends on it",
    }


def platform(depends: dict[str, list[str]]) -> tuple[list[Package], list[PackageSource]]:
    """Packages, each with the packages that it depends on."""
    return (
        [msgspec.convert(package(name), Package) for name in depends],
        [msgspec.convert(source(name, depends_on=needs), PackageSource) for name, needs in depends.items()],
    )
