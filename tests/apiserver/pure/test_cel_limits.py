"""CEL against those who mean no good: what costs too much, nests too deeply, or backtracks for ever."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozystack.apiserver.cel import CompileError, Environment, LimitExceeded, regex
from cozystack.apiserver.cel.rules import evaluate, validator
from cozystack.apiserver.cel.types import DYN

ENVIRONMENT = Environment({"self": DYN})
TEN = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"


def loops(depth: int, body: str) -> str:
    for level in range(depth):
        body = f"{TEN}.all(x{level}, {body})"
    return body


@pytest.mark.parametrize("text", [loops(4, "x0 + x1 > 0"), f"{TEN}.map(a, {TEN}.map(b, {TEN}.map(c, a * b * c))).size() > 0"])
def test_an_evaluation_ends_when_it_has_cost_what_it_may(text: str) -> None:
    with pytest.raises(LimitExceeded) as raised:
        ENVIRONMENT.compile(text).evaluate({}, 5000)
    assert str(raised.value) == "operation cancelled: actual cost limit exceeded"
    assert 5000 < raised.value.cost < 5100


def test_an_error_does_not_hide_that_the_limit_was_reached() -> None:
    with pytest.raises(LimitExceeded):
        ENVIRONMENT.compile(f"{loops(4, 'x0 > 0')} || true").evaluate({}, 5000)


def test_rules_of_one_object_share_a_budget() -> None:
    item = {"type": "integer", "x-kubernetes-validations": [{"rule": loops(2, "x0 + self > 0")}]}
    rules = validator({"type": "object", "properties": {"spec": {"type": "array", "items": item}}})
    assert rules is not None
    found = evaluate(rules, {"spec": [1, 2, 3, 4]}, budget=2000)
    why = "validation failed due to running out of cost budget, no further validation rules will be run"
    assert [str(error) for error in found.errors] == [f'spec[2]: Invalid value: "integer": {why}']


@pytest.mark.parametrize(
    "text", ["(" * 5000, "[" * 5000, "-(" * 3000, "!" * 99_000 + "x", "a" + ".b" * 40_000, "1" + "+1" * 40_000]
)
def test_an_expression_that_nests_too_deeply_is_refused(text: str) -> None:
    with pytest.raises(CompileError):
        ENVIRONMENT.compile(text)


def test_an_expression_of_many_terms_is_no_deep_one() -> None:
    text = " && ".join(["self.a == 1"] * 2000)
    assert ENVIRONMENT.compile(text).evaluate({"self": {"a": 1}})[0] is True


def test_an_expression_that_is_too_long_is_refused() -> None:
    with pytest.raises(CompileError, match="expression code point size exceeds limit: size: 100001, limit 100000"):
        ENVIRONMENT.compile("a" * 100_001)


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(a|aa)+$b", "a*a*a*a*a*b", "(.*)(.*)(.*)(.*)b", "([a-z]+)*1"])
def test_a_pattern_that_backtracks_is_matched_all_the_same(pattern: str) -> None:
    assert regex.Pattern(pattern).search("a" * 5000) is False
    assert regex.Pattern(pattern).find("a" * 5000) is None


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("a(?=b)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"),
        (r"(a)\1", r"error parsing regexp: invalid escape sequence: `\1`"),
        ("(", "error parsing regexp: missing closing ): `(`"),
        (")", "error parsing regexp: unexpected ): `)`"),
        ("[a", "error parsing regexp: missing closing ]: `[a`"),
        ("[z-a]", "error parsing regexp: invalid character class range: `z-a`"),
        ("*", "error parsing regexp: missing argument to repetition operator: `*`"),
        ("a**", "error parsing regexp: invalid nested repetition operator: `**`"),
        ("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"),
        ("\\", "error parsing regexp: trailing backslash at end of expression: ``"),
        ("((a{500}){500}){500}", "error parsing regexp: expression too large: ``"),
        ("(" * 300 + ")" * 300, f"error parsing regexp: expression nests too deeply: `{'(' * 300 + ')' * 300}`"),
    ],
)
def test_a_pattern_that_kubernetes_refuses_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(regex.PatternError) as raised:
        regex.Pattern(pattern)
    assert str(raised.value) == why


ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", "^", "$", r"\b", "(?:a|b)", "(?:ab|a)", "(?:|a)"])
REPEATS = st.sampled_from(["", "", "*", "+", "?", "*?", "+?", "??", "{1,2}", "{2}"])
PATTERNS = st.lists(st.tuples(ATOMS, REPEATS), min_size=1, max_size=5).map(
    lambda parts: "".join(atom + ("" if atom in ("^", "$", r"\b") else repeat) for atom, repeat in parts)
)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("(?:|a)*", (0, 0)),
        ("(?:|a)+", (0, 0)),
        ("(?:a|)*", (0, 2)),
        ("(?:|a)*$", (3, 3)),
        ("(?:|a){2,}", (0, 0)),
        ("(|a)*b", (0, 3)),
    ],
)
def test_what_may_be_empty_is_repeated_as_go_does(pattern: str, found: tuple[int, int]) -> None:
    assert regex.Pattern(pattern).find("aab") == found


@given(pattern=PATTERNS, text=st.text(alphabet="ab1 \n", max_size=12))
def test_a_pattern_matches_where_python_finds_it(pattern: str, text: str) -> None:
    theirs = re.compile(pattern.replace("$", r"\Z"), re.ASCII).search(text)
    ours = regex.Pattern(pattern)
    assert ours.find(text) == (theirs.span() if theirs is not None else None)
    assert ours.search(text) is (theirs is not None)
