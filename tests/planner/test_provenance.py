"""Where values come from."""

from __future__ import annotations

from cozystack.planner.provenance import Layer, ValueChange, merge, origin, value_changes

CHART = Layer("values.yaml", {"replicas": 1, "image": {"repository": "db", "tag": "v1"}, "debug": False, "extra": {"a": 1}})
PLATFORM = Layer("cozystack-values", {"_cluster": {"host": "example.org"}, "replicas": 2}, secret=True)
PACKAGE = Layer("Package acme.db", {"image": {"tag": "v2"}, "debug": None, "extra": "none"})
LAYERS = (CHART, PLATFORM, PACKAGE)


def test_later_layers_lie_over_earlier_ones_and_null_takes_away() -> None:
    assert merge(LAYERS) == {
        "replicas": 2,
        "image": {"repository": "db", "tag": "v2"},
        "extra": "none",
        "_cluster": {"host": "example.org"},
    }


def test_each_value_has_the_last_layer_that_set_it() -> None:
    assert origin(LAYERS, ("image", "repository")) == CHART
    assert origin(LAYERS, ("image", "tag")) == PACKAGE
    assert origin(LAYERS, ("replicas",)) == PLATFORM
    assert origin(LAYERS, ("debug",)) == PACKAGE
    assert origin(LAYERS, ("extra", "a")) == PACKAGE
    assert origin(LAYERS, ("nothing",)) is None


def test_a_difference_names_both_sides_and_where_they_come_from() -> None:
    assert list(value_changes((CHART,), (CHART, PACKAGE))) == [
        ValueChange(path="debug", steps=("debug",), old=False, old_from="values.yaml", new_from="Package acme.db"),
        ValueChange(
            path="extra", steps=("extra",), old={"a": 1}, new="none", old_from="values.yaml", new_from="Package acme.db"
        ),
        ValueChange(
            path="image.tag", steps=("image", "tag"), old="v1", new="v2", old_from="values.yaml", new_from="Package acme.db"
        ),
    ]


def test_values_of_a_secret_are_told_but_not_shown() -> None:
    assert list(value_changes((CHART,), (CHART, PLATFORM))) == [
        ValueChange(path="_cluster.host", steps=("_cluster", "host"), new_from="cozystack-values", hidden=True),
        ValueChange(path="replicas", steps=("replicas",), old_from="values.yaml", new_from="cozystack-values", hidden=True),
    ]


def test_equal_values_from_other_layers_are_no_difference() -> None:
    assert list(value_changes((CHART,), (Layer("values.yaml", {}), Layer("values-ha.yaml", CHART.values)))) == []
