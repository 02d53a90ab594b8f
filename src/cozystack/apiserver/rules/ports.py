"""Ports: numbers, and names that stand for numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from cozystack.apiserver.rules.faults import invalid
from cozystack.apiserver.schema import FieldError

_CHARACTERS: Final = re.compile(r"[-a-z0-9]+")
_LETTER: Final = re.compile(r"[a-z]")
_LONGEST: Final = 15
_RANGE: Final = "must be between 1 and 65535, inclusive"


def port_errors(path: str, port: Any) -> Iterator[FieldError]:
    """What is wrong with a port that is a number or a name."""
    if isinstance(port, str):
        yield from (invalid(path, port, fault) for fault in name_faults(port))
    else:
        yield from number_errors(path, port)


def number_errors(path: str, port: int) -> Iterator[FieldError]:
    if not 1 <= port <= 65535:
        yield invalid(path, port, _RANGE)


def name_faults(name: str) -> Iterator[str]:
    """What keeps a text from being the name of a port."""
    if len(name) > _LONGEST:
        yield f"must be no more than {_LONGEST} characters"
    if _CHARACTERS.fullmatch(name) is None:
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if _LETTER.search(name) is None:
        yield "must contain at least one letter (a-z)"
    if "--" in name:
        yield "must not contain consecutive hyphens"
    if name and (name[0] == "-" or name[-1] == "-"):
        yield "must not begin or end with a hyphen"
