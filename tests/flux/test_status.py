"""Only what differs is written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozystack.api.meta import Condition, Object, ObjectMeta
from cozystack.api.names import REQUESTED_AT_ANNOTATION
from cozystack.flux.status import condition, difference, requested_at, with_conditions

# A merge patch cannot say null: where a status has none there is no field.
SCALARS = st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
STATUSES = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def merge_patched(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patched(result.get(name), value)
    return result


@given(STATUSES, STATUSES)
def test_patching_with_the_difference_gives_what_is_wanted(live: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert merge_patched(live, difference(live, wanted)) == wanted


@given(STATUSES)
def test_there_is_no_difference_to_itself(live: dict[str, Any]) -> None:
    assert difference(live, live) == {}


@pytest.mark.parametrize(
    ("live", "wanted", "patch"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {}, {"a": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"c": 3}}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": None}}),
        ({"a": {"b": 1}}, {"a": [1]}, {"a": [1]}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
        ({"a": 1}, {"a": {"b": {}}}, {"a": {"b": {}}}),
    ],
)
def test_the_difference_is_the_smallest(live: dict[str, Any], wanted: dict[str, Any], patch: dict[str, Any]) -> None:
    assert difference(live, wanted) == patch


def test_conditions_are_dropped_and_set_and_keep_their_time() -> None:
    obj = Object(metadata=ObjectMeta(name="a", generation=3, annotations={REQUESTED_AT_ANNOTATION: "now"}))
    old = (
        Condition("Ready", "True", "Old", "was", "2026-01-01T00:00:00Z", 2),
        Condition("Reconciling", "True", "Progressing", "", "2026-01-01T00:00:00Z", 2),
    )
    new = (condition(obj, "Ready", True, "New", "is"), condition(obj, "Stalled", None, "Why", "unclear"))
    assert with_conditions(old, new, drop=("Reconciling", "Never"), now="2026-02-02T00:00:00Z") == (
        Condition("Ready", "True", "New", "is", "2026-01-01T00:00:00Z", 3),
        Condition("Stalled", "Unknown", "Why", "unclear", "2026-02-02T00:00:00Z", 3),
    )
    assert requested_at(obj) == "now"
