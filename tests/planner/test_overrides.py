"""Changes of a Package, and the patch that makes them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozystack.api.cozystack import API_VERSION, Package, PackageSource
from cozystack.planner.overrides import EditError, Edits, edited, json_patch, parse_path

COMPONENTS = [{"name": "operator", "path": "x"}, {"name": "operator.ui", "path": "x"}, {"name": "seed", "path": "x"}]
SOURCE = msgspec.convert(
    {
        "apiVersion": API_VERSION,
        "kind": "PackageSource",
        "metadata": {"name": "db"},
        "spec": {
            "variants": [
                {"name": "default", "dependsOn": ["crds"], "components": COMPONENTS},
                {"name": "ha", "dependsOn": ["crds", "net"], "components": COMPONENTS[:1]},
            ]
        },
    },
    PackageSource,
)


def package(**spec: Any) -> Package:
    return msgspec.convert({"apiVersion": API_VERSION, "kind": "Package", "metadata": {"name": "db"}, "spec": spec}, Package)


def test_a_variant_is_chosen_among_those_there_are() -> None:
    assert edited(package(), SOURCE, Edits(variant="ha")) == {"variant": "ha"}
    with pytest.raises(EditError, match=r"^db has no variant tiny; it has default, ha$"):
        edited(package(), SOURCE, Edits(variant="tiny"))
    assert edited(package(), None, Edits(variant="tiny")) == {"variant": "tiny"}


def test_components_are_enabled_and_disabled() -> None:
    off = edited(package(), SOURCE, Edits(disabled=("seed",)))
    assert off == {"components": {"seed": {"enabled": False}}}
    assert edited(package(**off), SOURCE, Edits(enabled=("seed",))) == {}
    with pytest.raises(EditError, match=r"^component seed cannot be enabled and disabled$"):
        edited(package(), SOURCE, Edits(enabled=("seed",), disabled=("seed",)))


def test_a_component_that_the_variant_lacks_is_an_error() -> None:
    with pytest.raises(EditError, match=r"^variant ha of db has no component seed; it has operator$"):
        edited(package(), SOURCE, Edits(variant="ha", disabled=("seed",)))


def test_values_are_replaced_assigned_and_dropped() -> None:
    before = package(components={"operator": {"values": {"old": 1}, "enabled": True}})
    edits = Edits(
        values={"operator": {"a": {"b": 1, "c": 2}, "list": [1, 2, 3]}},
        assigned=(
            ("operator", ("a", "b"), None),
            ("operator", ("list", 1), {"x": 1}),
            ("operator", ("list", 3), 4),
            ("operator", ("new", 0, "k"), "v"),
            ("seed", ("x",), True),
        ),
        dropped=(("operator", ("a", "c")), ("operator", ("list", 0)), ("operator", ("nowhere", "at", "all"))),
    )
    assert edited(before, SOURCE, edits) == {
        "components": {
            "operator": {
                "enabled": True,
                "values": {"a": {"b": None}, "list": [{"x": 1}, 3, 4], "new": [{"k": "v"}]},
            },
            "seed": {"values": {"x": True}},
        }
    }
    with pytest.raises(EditError, match=r"the list has 0 items$"):
        edited(package(), SOURCE, Edits(assigned=(("operator", ("list", 2), 1),)))


def test_dependencies_are_ignored_and_respected_again() -> None:
    ignoring = edited(package(), SOURCE, Edits(ignored=("crds", "crds")))
    assert ignoring == {"ignoreDependencies": ["crds"]}
    assert edited(package(**ignoring), SOURCE, Edits(respected=("crds",))) == {}
    with pytest.raises(EditError, match=r"^variant default of db does not need net; it needs crds$"):
        edited(package(), SOURCE, Edits(ignored=("net",)))


def test_paths_name_a_component_and_the_keys_of_a_value() -> None:
    names = ["operator", "operator.ui", "seed"]
    assert parse_path("operator.image.tag", names) == ("operator", ("image", "tag"))
    assert parse_path("operator.ui.args[0].name", names) == ("operator.ui", ("args", 0, "name"))
    assert parse_path(r"seed.labels.app\.kubernetes\.io/name", names) == ("seed", ("labels", "app.kubernetes.io/name"))
    assert parse_path("seed[1][2]", names) == ("seed", (1, 2))
    assert parse_path("unknown.x", names) == ("unknown", ("x",))
    for wrong in ("operator", "", ".x", "seed.x[a]", "seed.x[1"):
        with pytest.raises(EditError, match="is no path"):
            parse_path(wrong, names)


json = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.floats(0, 1) | st.text("ab", max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=2) | st.lists(inner, max_size=2),
    max_leaves=6,
)
specs = st.dictionaries(st.sampled_from(("variant", "components", "ignoreDependencies")), json)


@given(specs, specs)
def test_a_patch_makes_the_one_of_the_other_and_nothing_when_they_are_the_same(old: Any, new: Any) -> None:
    patch = json_patch(old, new, "7")
    result = {"spec": dict(old)}
    for operation in patch[1:]:
        _, *steps = operation["path"].split("/")
        parent: Any = result
        for step in steps[:-1]:
            parent = parent[step]
        if operation["op"] == "remove":
            del parent[steps[-1]]
        else:
            parent[steps[-1]] = operation["value"]
    assert msgspec.json.encode(result["spec"], order="sorted") == msgspec.json.encode(new, order="sorted")
    assert bool(patch) == (msgspec.json.encode(old, order="sorted") != msgspec.json.encode(new, order="sorted"))
    assert patch[:1] == ([{"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}] if patch else [])
