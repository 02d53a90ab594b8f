"""What a benchmark returns: named figures, each perhaps with a limit that it must keep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

_PATH = re.compile(r"(?:/[\w.@+-]+)+(/[\w.@+-]+)")
Limit = Literal["<", "≤", "≥"]


class Hold(msgspec.Struct, frozen=True):
    """The limit that a figure must keep, in the unit of the figure."""

    limit: Limit
    value: float

    def kept(self, value: float) -> bool:
        match self.limit:
            case "<":
                return value < self.value
            case "≤":
                return value <= self.value
            case "≥":
                return value >= self.value

    def __str__(self) -> str:
        return f"{self.limit} {self.value:,g}"


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One number. ``unit`` is ``s``, ``ms``, ``/s`` or ``MB`` (10⁶ bytes), ``MiB``, or a plain word for what was counted.

    ``failed`` says why there is no number; such a figure keeps no limit.
    """

    name: str
    value: float | None
    unit: str
    hold: Hold | None = None
    failed: str = ""

    @property
    def kept(self) -> bool | None:
        """Whether the limit is kept; ``None`` where there is none to keep."""
        if self.failed or self.value is None:
            return False
        return self.hold.kept(self.value) if self.hold is not None else None


class Scale(msgspec.Struct, frozen=True):
    """How much a benchmark measures. ``quick``: a tenth of the objects, few repetitions; it shows that all runs, no more."""

    quick: bool = False
    full: bool = False
    """Also the sizes that take many minutes."""

    def objects(self, full: int) -> int:
        return full // 10 if self.quick else full

    def repeat(self, full: int) -> int:
        return max(1, full // 5) if self.quick else full


def not_available(name: str, unit: str, reason: str, hold: Hold | None = None) -> Figure:
    """A row that says why there is no figure; of paths only the last part is kept, since results are published."""
    text = _PATH.sub(r"…\1", " ".join(reason.split()))
    return Figure(name, None, unit, hold, failed=f"not available: {text}")


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that ``percent`` of ``values`` do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]
