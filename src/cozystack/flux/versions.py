"""Semantic versions, as far as sources choose tags by them: ``1.x``, ``>=1.2.0 <2``, ``~1.4``, ``^1.2``."""

from __future__ import annotations

import re
from collections.abc import Iterable

_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_TERM = re.compile(r"(>=|<=|!=|>|<|=|~|\^)?\s*v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:-([0-9A-Za-z.-]+))?")

Version = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def parse(text: str) -> Version | None:
    """A version that can be compared, or nothing. A pre-release comes before its release."""
    found = _VERSION.fullmatch(text)
    if found is None:
        return None
    major, minor, patch, pre = found.groups()
    parts = tuple((not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in (pre or "").split(".") if part)
    return int(major), int(minor or 0), int(patch or 0), not parts, parts


def newest(tags: Iterable[str], wanted: str, pattern: str) -> str | None:
    """The tag with the highest version within the range, among those that match the pattern; nothing if there is none."""
    matching = [tag for tag in tags if not pattern or re.search(pattern, tag)]
    versions = [(version, tag) for tag in matching if (version := parse(tag)) is not None and accepts(wanted, version)]
    return max(versions)[1] if versions else None


def accepts(wanted: str, version: Version) -> bool:
    """Whether a range accepts a version: alternatives by ``||``, terms by space or comma."""
    return any(_all(part, version) for part in wanted.split("||"))


def _all(text: str, version: Version) -> bool:
    terms = _TERM.findall(text.replace(",", " "))
    if not terms:
        return text.strip() in ("", "*")
    if not version[3] and not any(term[4] for term in terms):
        return False
    return all(_one(term, version) for term in terms)


def _one(term: tuple[str, str, str, str, str], version: Version) -> bool:
    operator, *numbers, pre = term
    fixed = [int(number) for number in numbers if number.isdecimal()]
    low = parse(".".join(str(n) for n in [*fixed, 0, 0, 0][:3]) + (f"-{pre}" if pre else ""))
    if low is None or not fixed:
        return True
    match operator:
        case ">=":
            return version >= low
        case ">":
            return version > low
        case "<":
            return version < low
        case "<=":
            return version <= low
        case "!=":
            return version != low
        case "^":
            index = next((i for i, number in enumerate(fixed) if number), len(fixed) - 1)
            return version >= low and version[: index + 1] == tuple(fixed[: index + 1])
        case "~":
            size = min(2, len(fixed))
            return version >= low and version[:size] == tuple(fixed[:size])
    return version == low if len(fixed) == 3 else version[: len(fixed)] == tuple(fixed)
