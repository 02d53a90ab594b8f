"""Label selectors as ``kubectl -l`` takes them: ``a=b``, ``a!=b``, ``a in (b, c)``, ``a notin (b)``, ``a``, ``!a``, and commas.

An empty selector accepts everything. ``a!=b`` and ``a notin (b)`` accept what has no label ``a`` as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from cozystack.api import names

_SET = re.compile(r"(?P<key>[^\s!=]+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUALITY = re.compile(r"(?P<key>[^\s!=]+)\s*(?P<operator>==?|!=)\s*(?P<value>[^\s=]*)")
_EXISTENCE = re.compile(r"(?P<operator>!?)\s*(?P<key>[^\s!=()]+)")


class Requirement(NamedTuple):
    key: str
    operator: Literal["in", "notin", "exists", "absent"]
    values: frozenset[str] = frozenset()

    def accepts(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "in":
                return labels.get(self.key) in self.values
            case "notin":
                return labels.get(self.key) not in self.values
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels


def matches(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether ``selector`` accepts ``labels``; raises ``ValueError`` for what is no selector."""
    return all(requirement.accepts(labels) for requirement in parse_selector(selector))


@lru_cache(maxsize=16)
def parse_selector(selector: str) -> tuple[Requirement, ...]:
    """The requirements of ``selector``; raises ``ValueError`` with a sentence that says what is wrong."""
    return tuple(_requirement(term) for term in _terms(selector) if term)


def _terms(selector: str) -> list[str]:
    """Split at commas, those in parentheses apart."""
    return [term.strip() for term in re.split(r",(?![^()]*\))", selector)]


def _requirement(term: str) -> Requirement:
    if found := _SET.fullmatch(term):
        values = frozenset(value.strip() for value in found["values"].split(","))
        return Requirement(_key(found["key"], term), "in" if found["operator"] == "in" else "notin", _values(values))
    if found := _EQUALITY.fullmatch(term):
        values = frozenset((found["value"],))
        return Requirement(_key(found["key"], term), "notin" if found["operator"] == "!=" else "in", _values(values))
    if found := _EXISTENCE.fullmatch(term):
        return Requirement(_key(found["key"], term), "absent" if found["operator"] else "exists")
    raise ValueError(f'"{term}" is no requirement such as a=b, a!=b, a in (b,c), a notin (b), a or !a')


def _key(key: str, term: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if not name or not names.is_label_value(name) or (slash and not names.is_dns_subdomain(prefix)):
        raise ValueError(f'"{term}" does not start with a valid label key')
    return key


def _values(values: frozenset[str]) -> frozenset[str]:
    for value in sorted(values):
        if not names.is_label_value(value):
            raise ValueError(f'"{value}" is not a valid label value')
    return values
