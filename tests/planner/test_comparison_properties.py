"""Whatever is changed, the plan says exactly what the operator would do."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cozystack.api.cozystack import API_VERSION, Package, PackageSource
from cozystack.api.flux import HelmRelease
from cozystack.planner import Affected, Catalogue
from cozystack.planner.comparison import assume_installed, compare, replace_objects
from cozystack.planner.snapshot import Snapshot
from support.comparing import between

NAMES = ["acme.p0", "acme.p1", "acme.p2", "acme.p3", "acme-p3"]
"""The last two make artifacts of the same names."""

components = st.builds(
    lambda name, namespace, release, end: {
        "name": name,
        "path": f"system/{name}{end}",
        "install": {"namespace": namespace, "releaseName": release},
    },
    st.sampled_from(["a", "b"]),
    st.sampled_from(["n1", "n2"]),
    st.sampled_from(["", "r1", "r2"]),
    st.sampled_from(["", "", "", "/"]),
)
variants = st.lists(
    st.builds(
        lambda name, depends_on, parts: {"name": name, "dependsOn": depends_on, "components": parts},
        st.sampled_from(["default", "other"]),
        st.lists(st.sampled_from(NAMES), max_size=2),
        st.lists(components, max_size=2, unique_by=lambda part: part["name"]),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda variant: variant["name"],
)
sources = st.dictionaries(st.sampled_from(NAMES), variants, max_size=5)
packages = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        lambda variant, enabled, value: {"variant": variant, "components": {"a": {"enabled": enabled, "values": {"v": value}}}},
        st.sampled_from(["default", "other"]),
        st.booleans(),
        st.integers(0, 1),
    ),
    max_size=5,
)


def view(offered: dict[str, Any], wanted: dict[str, Any], releases: Iterable[HelmRelease] = ()) -> Catalogue:
    """Objects that are equal are the same."""
    ref = {"kind": "OCIRepository", "name": "acme", "namespace": "cozy-system"}
    found = Catalogue()
    with found.batch():
        for name, offer in offered.items():
            spec: dict[str, Any] = {"sourceRef": ref, "variants": offer}
            found.put(_object(PackageSource, name, json.dumps(spec)))
        for name, spec in wanted.items():
            found.put(_object(Package, name, json.dumps(spec)))
        for release in releases:
            found.put(release)
    return found


@lru_cache(maxsize=1000)
def _object(kind: type[Any], name: str, spec: str) -> Any:
    value = {"apiVersion": API_VERSION, "kind": kind.__name__, "metadata": {"name": name}, "spec": json.loads(spec)}
    return msgspec.convert(value, kind)


@given(sources, packages, sources, packages, st.sets(st.integers(0, 9)), st.booleans())
def test_a_view_that_was_edited_says_what_a_new_one_would(
    offered: dict[str, Any],
    wanted: dict[str, Any],
    offered_then: dict[str, Any],
    wanted_then: dict[str, Any],
    lost: set[int],
    live: bool,
) -> None:
    edited = view(offered, wanted)
    with edited.batch():
        assume_installed(edited)
    if live:
        for number, key in enumerate(sorted(edited.releases)):
            if number in lost:
                edited.remove_release(key)
    new = view({**offered, **offered_then}, wanted_then, edited.releases.values())
    before = Snapshot(edited)
    affected = replace_objects(edited, new.sources, new.packages)
    everything = Affected(sources=frozenset(new.sources))
    assert compare(before, edited, affected, live=live) == compare(before, new, everything, live=live)


@given(sources, packages, sources, packages)
def test_what_is_installed_and_removed_leads_from_one_world_to_the_other(
    offered: dict[str, Any], wanted: dict[str, Any], offered_then: dict[str, Any], wanted_then: dict[str, Any]
) -> None:
    before, after = view(offered, wanted), view(offered_then, wanted_then)
    held = {release.key for name in before.packages for release in before.desired(name)}
    found = between(before, after)
    gone = {change.key for change in found.releases if change.action in ("remove", "move")}
    come = {change.key for change in found.releases if change.action == "install"}
    assert gone <= held
    assert come.isdisjoint(held - gone)
    # The view holds the new objects now.
    plans = [release for name in before.packages for release in before.plan(name).releases]
    asked = {release.key for release in plans if release.waits_for != "conflict"}
    moved = {change.moves_to for change in found.releases if change.action == "move"}
    # What is asked for and not there comes, by an installation or a move.
    assert asked - held == {key for key in asked - held if key in come or str(key) in moved}


@given(sources, packages)
def test_a_world_does_not_differ_from_itself(offered: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = between(view(offered, wanted), view(offered, wanted))
    assert found.empty
    assert (found.new_problems, found.solved_problems) == ((), ())


@given(sources, packages, sources, packages)
def test_there_and_back_ends_where_it_began(
    offered: dict[str, Any], wanted: dict[str, Any], offered_then: dict[str, Any], wanted_then: dict[str, Any]
) -> None:
    there = between(view(offered, wanted), view(offered_then, wanted_then))
    back = between(view(offered_then, wanted_then), view(offered, wanted))
    mirrored = {"add": "remove", "remove": "add", "change": "change"}
    forth = {(change.kind, change.name, change.action) for change in there.objects if change.kind != "Namespace"}
    assert forth == {
        (change.kind, change.name, mirrored[change.action]) for change in back.objects if change.kind != "Namespace"
    }
