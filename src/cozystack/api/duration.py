"""Durations as Go writes and reads them: ``5m0s``, ``1h30m0s``, ``300ms``, ``1.5h``.

A duration is a whole number of nanoseconds in Go; here it is ``datetime.timedelta``, to the microsecond, which is finer than
any field of Flux accepts.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Final

_UNITS: Final = {
    "ns": Decimal("0.000000001"),
    "us": Decimal("0.000001"),
    "µs": Decimal("0.000001"),
    "μs": Decimal("0.000001"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_FLUX = re.compile(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+")
_LIMIT = Decimal(2**63) / Decimal(10**9)


def parse_duration(text: str) -> timedelta:
    """The duration that Go's ``time.ParseDuration`` reads from ``text``; raises ``ValueError`` with one clear sentence.

    >>> parse_duration("1.5h")
    datetime.timedelta(seconds=5400)
    """
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return timedelta(0)
    total, position = Decimal(0), 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            break
        total += Decimal(part.group(1)) * _UNITS[part.group(2)]
        position = part.end()
    if not rest or position != len(rest):
        raise ValueError(f'"{text}" is not a duration; write it like 30s, 5m or 1h30m')
    if total >= _LIMIT:
        raise ValueError(f'"{text}" is longer than a duration can be (about 292 years)')
    seconds = -total if text.startswith("-") else total
    return timedelta(microseconds=int(seconds * 1_000_000))


def format_duration(value: timedelta) -> str:
    """``value`` as Go prints it.

    >>> format_duration(timedelta(minutes=90))
    '1h30m0s'
    """
    micros = value // timedelta(microseconds=1)
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    if micros == 0:
        return "0s"
    if micros < 1_000:
        return f"{sign}{micros}µs"
    if micros < 1_000_000:
        return f"{sign}{_decimal(micros, 1_000)}ms"
    seconds, micros = divmod(micros, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(seconds * 1_000_000 + micros, 1_000_000)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    if hours:
        text = f"{hours}h{text}"
    return sign + text


def is_flux_duration(text: str) -> bool:
    """Whether Flux's schemas accept ``text`` as it stands (no ``ns`` or ``us``, no sign)."""
    return _FLUX.fullmatch(text) is not None


def _decimal(amount: int, unit: int) -> str:
    whole, fraction = divmod(amount, unit)
    if not fraction:
        return str(whole)
    return f"{whole}.{fraction:0{len(str(unit)) - 1}d}".rstrip("0")
