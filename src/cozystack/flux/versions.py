"""Semantic versions, as far as sources choose tags by them: ``1.x``, ``>=1.2.0 <2``, ``~1.4``, ``^1.2``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile

_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_PART = r"(\d+|[xX*])"
_TERM = re.compile(
    rf"\s*,?\s*(>=|=>|<=|=<|!=|~>|>|<|=|~|\^)?\s*v?{_PART}(?:\.{_PART})?(?:\.{_PART})?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\s*"
)
_SPAN = re.compile(r"([^\s,|]+)\s+-\s+([^\s,|]+)")
_SAME = {"=>": ">=", "=<": "<=", "~>": "~", "": "="}

Version = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def parse(text: str) -> Version | None:
    """A version that can be compared, or nothing. A pre-release comes before its release."""
    found = _VERSION.fullmatch(text)
    if found is None:
        return None
    major, minor, patch, pre = found.groups()
    return _version((int(major), int(minor or 0), int(patch or 0)), pre or "")


def _version(numbers: tuple[int, int, int], pre: str) -> Version:
    parts = tuple((not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in pre.split(".") if part)
    return (*numbers, not parts, parts)


def newest(tags: Iterable[str], wanted: str, pattern: str) -> str | None:
    """The tag with the highest version within the range, among those that match the pattern; nothing if there is none."""
    matching = [tag for tag in tags if not pattern or re.search(pattern, tag)]
    versions = [(version, tag) for tag in matching if (version := parse(tag)) is not None and accepts(wanted, version)]
    return max(versions)[1] if versions else None


def accepts(wanted: str, version: Version) -> bool:
    """Whether a range accepts a version: alternatives by ``||``, terms by space or comma. What is no range accepts nothing."""
    return any(_all(part, version) for part in _SPAN.sub(r">=\1 <=\2", wanted).split("||"))


def _all(text: str, version: Version) -> bool:
    if not text.strip():
        return version[3]
    terms: list[tuple[str, ...]] = []
    position = 0
    while position < len(text):
        found = _TERM.match(text, position)
        if found is None:
            return False
        terms.append(found.groups(default=""))
        position = found.end()
    # A pre-release is offered only to those who ask for one.
    if not version[3] and not any(term[4] for term in terms):
        return False
    return all(_one(term, version) for term in terms)


def _one(term: tuple[str, ...], version: Version) -> bool:
    """Whether one comparison holds. A part that is missing or ``x`` stands for any number."""
    operator, *numbers, pre = term
    fixed = tuple(int(number) for number in takewhile(str.isdecimal, numbers))
    if not fixed:
        return True
    major, minor, patch = (*fixed, 0, 0)[:3]
    low = _version((major, minor, patch), pre)
    partial = len(fixed) < 3
    head = version[: len(fixed)]
    match _SAME.get(operator, operator):
        case ">=":
            return version >= low
        case ">":
            return head > fixed if partial else version > low
        case "<":
            return version < low
        case "<=":
            return head <= fixed if partial else version <= low
        case "!=":
            return head != fixed if partial else version != low
        case "^":
            index = next((i for i, number in enumerate(fixed) if number), len(fixed) - 1)
            return version >= low and version[: index + 1] == fixed[: index + 1]
        case "~":
            size = min(2, len(fixed))
            return version >= low and version[:size] == fixed[:size]
    return head == fixed if partial else version == low
