"""A relation holds what its members contribute, however it is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cozystack.planner.index import Relation

members = st.sampled_from(["a", "b", "c"])
keys = st.lists(st.integers(0, 2), max_size=3)


@given(st.lists(st.tuples(members, keys), max_size=12))
def test_a_key_has_the_members_that_named_it_last(contributions: list[tuple[str, list[int]]]) -> None:
    relation: Relation[int, str] = Relation()
    last: dict[str, list[int]] = {}
    for member, named in contributions:
        relation.replace(member, last.get(member, ()), named)
        last[member] = named
    expected = {key: {member for member, named in last.items() if key in named} for key in range(3)}
    assert {key: set(relation[key]) for key in range(3)} == expected
    assert set(relation) == {key for key, found in expected.items() if found}
