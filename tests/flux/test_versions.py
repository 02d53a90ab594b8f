"""Ranges choose tags as the library of Flux's controllers does: caret, tilde, wildcards, spans, pre-releases on request."""

from __future__ import annotations

import pytest

from cozystack.flux.versions import accepts, newest, parse

RANGES = [
    # caret: up to the next change of the leftmost number that is not zero
    ("^1.2.3", "1.2.3 1.2.4 1.9.0", "1.2.2 2.0.0 0.9.9"),
    ("^1.2", "1.2.0 1.3.0", "1.1.9 2.0.0"),
    ("^1", "1.0.0 1.9.9", "0.9.0 2.0.0"),
    ("^0.2.3", "0.2.3 0.2.9", "0.2.2 0.3.0 1.0.0"),
    ("^0.0.3", "0.0.3", "0.0.4 0.1.0 0.0.2"),
    ("^0.0", "0.0.0 0.0.9", "0.1.0"),
    ("^0", "0.0.1 0.9.9", "1.0.0"),
    # tilde: the last number may grow
    ("~1.2.3", "1.2.3 1.2.9", "1.3.0 1.2.2"),
    ("~1.2", "1.2.0 1.2.9", "1.3.0"),
    ("~1", "1.0.0 1.9.9", "2.0.0"),
    ("~>1.2", "1.2.9", "1.3.0"),
    # comparisons, with all numbers and with some
    (">=1.2.0 <2", "1.2.0 1.99.0", "1.1.9 2.0.0"),
    (">=1.2.0, <2.0.0", "1.2.0 1.99.0", "1.1.9 2.0.0"),
    ("=>1.2", "1.2.0 3.0.0", "1.1.9"),
    (">1.2.3", "1.2.4", "1.2.3"),
    (">1.2", "1.3.0 2.0.0", "1.2.0 1.2.9"),
    (">1", "2.0.0", "1.0.0 1.9.9"),
    ("<1.2", "1.1.9", "1.2.0"),
    ("<=1.2.3", "1.2.3", "1.2.4"),
    ("<=1.2", "1.2.0 1.2.9 1.1.0", "1.3.0"),
    ("=<1", "1.9.9 0.1.0", "2.0.0"),
    ("!=1.2.3", "1.2.4", "1.2.3"),
    ("!=1.2.x", "1.3.0", "1.2.0 1.2.9"),
    ("=1.2.3", "1.2.3", "1.2.4"),
    ("v1.2.3", "1.2.3", "1.2.4"),
    ("1.2.3+build", "1.2.3", "1.2.4"),
    # wildcards and spans
    ("1.x", "1.0.0 1.9.9", "2.0.0"),
    ("1.2.*", "1.2.0 1.2.9", "1.3.0"),
    ("1.x.3", "1.0.0 1.5.4", "2.0.3"),
    ("1", "1.0.0 1.9.9", "2.0.0"),
    ("*", "0.0.1 9.9.9", ""),
    ("", "0.0.1 9.9.9", ""),
    (">=x", "0.0.1 9.9.9", ""),
    ("1.2 - 1.4.5", "1.2.0 1.4.5", "1.1.9 1.4.6"),
    ("1.2 - 1.4", "1.4.9", "1.5.0"),
    # alternatives
    ("~1.2 || ^3", "1.2.5 3.9.0", "2.0.0 1.3.0"),
    # not ranges
    ("latest", "", "1.0.0"),
    (">=1.0.0 what", "", "1.0.0"),
    ("1.2.3.4", "", "1.2.3"),
]


@pytest.mark.parametrize(("wanted", "inside", "outside"), RANGES, ids=[wanted or "empty" for wanted, _, _ in RANGES])
def test_a_range_accepts_what_is_in_it_and_nothing_else(wanted: str, inside: str, outside: str) -> None:
    versions = [*inside.split(), *outside.split()]
    accepted = [version for version in versions if (parsed := parse(version)) and accepts(wanted, parsed)]
    assert accepted == inside.split()


@pytest.mark.parametrize(
    ("wanted", "inside"),
    [
        ("*", []),
        ("", []),
        (">=1.0.0", []),
        (">=1.0.0-0", ["1.0.0-alpha", "1.0.0-alpha.2", "1.0.0-rc.1", "1.1.0-rc.1"]),
        ("^1.0.0-rc.0", ["1.0.0-rc.1", "1.1.0-rc.1"]),
        ("~1.0.0-alpha.1", ["1.0.0-alpha.2", "1.0.0-rc.1"]),
        ("1.0.0-rc.1", ["1.0.0-rc.1"]),
        ("<1.0.0 || >=1.1.0-0", ["1.1.0-rc.1"]),
        (">=0.9.0 <1.0.0-rc.0", ["1.0.0-alpha", "1.0.0-alpha.2"]),
    ],
)
def test_a_pre_release_is_accepted_only_by_a_range_that_names_one(wanted: str, inside: list[str]) -> None:
    versions = ["1.0.0-alpha", "1.0.0-alpha.2", "1.0.0-rc.1", "1.1.0-rc.1"]
    assert [version for version in versions if (parsed := parse(version)) and accepts(wanted, parsed)] == inside


def test_versions_are_ordered_as_the_specification_says() -> None:
    before = "1.0.0-1 1.0.0-2 1.0.0-10 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc"
    versions = [*before.split(), "1.0.0", "1.0.1", "1.10.0"]
    assert sorted(set(versions), key=lambda text: parse(text) or ()) == versions


@pytest.mark.parametrize("text", ["", "latest", "1.2.3.4", "1.", "x", "1.2.3-", "sha-1234", "1 .2"])
def test_a_tag_that_is_no_version_is_none(text: str) -> None:
    assert parse(text) is None


def test_a_version_may_leave_out_numbers_and_carry_build_metadata() -> None:
    assert parse("v1") == parse("1.0") == parse("1.0.0") == parse("1.0.0+build.5") == (1, 0, 0, True, ())


def test_the_newest_tag_in_range_is_chosen_among_those_that_match_the_filter() -> None:
    tags = ["latest", "v1.2.0", "v1.10.0", "v1.9.0", "v2.0.0", "v1.11.0-rc.1", "1.12.0-arm64", "sha-1"]
    assert newest(tags, "1.x", "") == "v1.10.0"
    assert newest(tags, ">=1.0.0-0", "") == "v2.0.0"
    assert newest(tags, ">=1.0.0-0 <2", ".*-arm64$") == "1.12.0-arm64"
    assert newest(tags, "3.x", "") is None
    assert newest([], "*", "") is None
