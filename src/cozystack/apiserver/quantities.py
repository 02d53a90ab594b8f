"""Quantities such as ``500m`` and ``1Gi``: numbers, and the one way in which Kubernetes writes each of them.

Nothing is finer than a billionth. A text that is canonical enough stays as it is, which is how ``1.500`` survives.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Final, NamedTuple

FORMAT_RULE: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
NUMBER_RULE: Final = "unable to parse numeric part of quantity"
SUFFIX_RULE: Final = "unable to parse quantity's suffix"
_PARTS: Final = re.compile(r"([+-]?)([0-9]*)(?:(\.)([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_DECIMAL: Final = dict(zip(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), range(-9, 19, 3), strict=True))
_BINARY: Final = {f"{letter}i": 10 * power for power, letter in enumerate("KMGTPE", 1)}
_BY_EXPONENT: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BY_POWER: Final = {power: suffix for suffix, power in _BINARY.items()}
_EXPONENT: Final = re.compile(r"[eE]([+-]?[0-9]+)")
_MOST: Final = 2**63 - 1
_MOST_DIGITS: Final = 18


class NoQuantity(ValueError):  # noqa: N818 - it names what has happened
    """A text that is no quantity; the words are those of Kubernetes."""


class Quantity(NamedTuple):
    """A number, and how it is written."""

    number: Fraction
    text: str


@lru_cache(4096)
def quantity(text: str) -> Quantity:
    """What a text means; raises ``NoQuantity``."""
    if not text:
        raise NoQuantity(FORMAT_RULE)
    found = _PARTS.fullmatch(text)
    if found is None:
        raise NoQuantity(FORMAT_RULE)
    sign, whole, point, rest, suffix = found.groups(default="")
    whole = whole.lstrip("0")
    form, exponent = _form(suffix)
    if point and not whole and not rest and not found[2]:
        raise NoQuantity(NUMBER_RULE)
    number = Fraction(int(whole + rest or "0"), 10 ** len(rest))
    number *= Fraction(2) ** exponent if form == "binary" else Fraction(10) ** exponent
    number = Fraction(-(-number.numerator * 10**9 // number.denominator), 10**9)
    digits = (whole or "0") + rest
    if form == "binary":
        kept = not rest and int(digits) % 8 != 0 and number <= _MOST
        number = min(number, Fraction(_MOST))
    else:
        kept = number != 0 and _is_kept(digits, exponent - len(rest))
    number = -number if sign == "-" else number
    return Quantity(number, text if kept else written(number, form))


def _form(suffix: str) -> tuple[str, int]:
    """How a suffix writes numbers, and the exponent that it stands for; raises ``NoQuantity``."""
    if suffix in _DECIMAL:
        return "decimal", _DECIMAL[suffix]
    if suffix in _BINARY:
        return "binary", _BINARY[suffix]
    found = _EXPONENT.fullmatch(suffix)
    if found is None or len(found[1]) > 3:
        raise NoQuantity(SUFFIX_RULE)
    return "exponent", int(found[1])


def _is_kept(digits: str, scale: int) -> bool:
    """Whether a decimal text counts as canonical."""
    fits = len(digits) <= _MOST_DIGITS and scale >= -9
    return fits and scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0"


def written(number: Fraction, form: str = "decimal") -> str:
    """The canonical text of a number: as a power of two (``binary``) where that is exact, otherwise by ``form``."""
    if number == 0:
        return "0"
    if form == "binary" and (abs(number) < 1024 or number.denominator != 1):
        form = "decimal"
    if form == "binary":
        mantissa, power = int(number), 0
        while mantissa % 1024 == 0 and power < 60:
            mantissa, power = mantissa // 1024, power + 10
        return f"{mantissa}{_BY_POWER.get(power, '')}"
    mantissa, exponent = int(number * 10**9), -9
    while mantissa % 1000 == 0:
        mantissa, exponent = mantissa // 1000, exponent + 3
    if form == "exponent":
        return f"{mantissa}e{exponent}" if exponent else str(mantissa)
    return f"{mantissa}{_BY_EXPONENT.get(exponent, '')}"


def rounded_up(text: str, exponent: int) -> str:
    """A quantity that is no finer than that power of ten."""
    scaled = quantity(text).number / Fraction(10) ** exponent
    return written(Fraction(-(-scaled.numerator // scaled.denominator)) * Fraction(10) ** exponent)


def plus(one: Quantity, two: Quantity) -> Quantity:
    """The sum, written as the first of the two that is not nothing."""
    return _like(one.number + two.number, one if one.number else two)


def minus(one: Quantity, two: Quantity) -> Quantity:
    """The difference, written in the same way."""
    return _like(one.number - two.number, one if one.number else two)


def _like(number: Fraction, model: Quantity) -> Quantity:
    form = "binary" if model.text.endswith("i") else "exponent" if "e" in model.text.lower() else "decimal"
    return Quantity(number, written(number, form))


NOTHING: Final = Quantity(Fraction(0), "0")
