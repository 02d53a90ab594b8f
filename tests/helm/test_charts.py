"""Values laid over each other."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozystack.helm import deep_merge, set_path

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
MAPS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ({"a": {"b": 1, "c": {"d": 2}}}, {"a": {"c": {"e": 3}}}, {"a": {"b": 1, "c": {"d": 2, "e": 3}}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
        ({"a": 1}, {"a": 0}, {"a": 0}),
    ],
)
def test_maps_are_merged_and_everything_else_replaces(base: Any, over: Any, merged: Any) -> None:
    assert deep_merge(base, over) == merged


@settings(deadline=None, derandomize=True, database=None)
@given(MAPS, MAPS)
def test_merging_changes_neither_side(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = copy.deepcopy((base, over))

    deep_merge(base, over)

    assert (base, over) == before


@settings(deadline=None, derandomize=True, database=None)
@given(MAPS, MAPS, MAPS)
def test_merging_again_changes_nothing_and_nothing_is_neutral(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    once = deep_merge(a, b)

    assert deep_merge(once, b) == once
    assert deep_merge(a, {}) == deep_merge({}, a) == a
    assert set(deep_merge(once, c)) == {*a, *b, *c}


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("a", {"a": 1, "b": {"c": 2}}),
        ("b.c", {"b": {"c": 1}}),
        ("b.d", {"b": {"c": 2, "d": 1}}),
        ("b.c.d", {"b": {"c": {"d": 1}}}),
        (r"b.x\.example\.com/y", {"b": {"c": 2, "x.example.com/y": 1}}),
        (r"x\.y", {"b": {"c": 2}, "x.y": 1}),
    ],
)
def test_a_value_is_set_at_a_dotted_path(path: str, result: dict[str, Any]) -> None:
    values = {"b": {"c": 2}}

    assert set_path(values, path, 1) == result
    assert values == {"b": {"c": 2}}


def test_a_map_that_is_set_is_laid_over_the_one_that_is_there() -> None:
    assert set_path({"a": {"b": 1}}, "a", {"c": 2}) == {"a": {"b": 1, "c": 2}}
