"""Names, durations, conditions: small rules that everything else leans on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozystack.api import names
from cozystack.api.duration import format_duration, is_flux_duration, parse_duration
from cozystack.api.meta import Condition, set_condition


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300ms", 0.3),
        ("1.5h", 5400),
        ("2h45m", 9900),
        ("0", 0),
        ("-5m", -300),
        ("+1s", 1),
        ("1h30m0s", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("500us", 0.0005),
        ("7µs", 0.000007),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "5x", "m", "1h-5m", " 5m", "5m ", "--5m", ".s", "1e3s", "999999999999h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (300, "5m0s"),
        (30, "30s"),
        (5400, "1h30m0s"),
        (0, "0s"),
        (0.3, "300ms"),
        (-1.5, "-1.5s"),
        (0.0005, "500µs"),
        (86400, "24h0m0s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.timedeltas(min_value=timedelta(days=-10000), max_value=timedelta(days=10000)))
def test_a_written_duration_is_read_back(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


def test_flux_takes_no_microseconds_and_no_sign() -> None:
    assert [is_flux_duration(text) for text in ("1h30m", "1.5s", "500us", "-5m", "0", "")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_artifact_names_turn_each_dot_into_a_dash() -> None:
    assert names.artifact_name("acme.db", "ha.v2", "db.operator") == "acme-db-ha-v2-db-operator"


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (names.is_dns_label, ["a", "a-1", "a" * 63], ["", "-a", "a-", "A", "a.b", "a_b", "a" * 64, "a\n"]),
        (names.is_dns_subdomain, ["a", "a.b-c", "1.2"], ["", "a..b", ".a", "a.", "a_b", "a" * 254]),
        (names.is_release_name, ["a.b", "a" * 53], ["", "a" * 54, "A"]),
        (names.is_artifact_name, ["a-b"], ["", "a.b", "a_b", "-a"]),
        (names.is_source_alias, ["a_b", "a-b"], ["", "a.b", "_a", "a" * 64]),
        (names.is_label_value, ["", "A.b_c", "a" * 63], ["-a", "a b", "a" * 64]),
    ],
)
def test_names_are_checked(check: object, good: list[str], bad: list[str]) -> None:
    assert callable(check)
    assert [name for name in good if not check(name)] == []
    assert [name for name in bad if check(name)] == []


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    first = set_condition((), Condition("Ready", "False", "A"), "t1")
    same = set_condition(first, Condition("Ready", "False", "B", "m", observed_generation=2), "t2")
    turned = set_condition(same, Condition("Ready", "True", "C"), "t3")
    given_time = set_condition(turned, Condition("Ready", "False", "D", last_transition_time="t0"), "t4")
    assert [c.last_transition_time for (c,) in (first, same, turned, given_time)] == ["t1", "t1", "t3", "t0"]
    assert same == (Condition("Ready", "False", "B", "m", "t1", 2),)
