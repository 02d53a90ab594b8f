"""Schedules of CronJobs: five fields, or ``@daily`` and its like, or ``@every`` with a duration.

Days of the month and days of the week count together: where both are restricted, either is enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_FIELDS: Final = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 6))
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WORDS: Final = {
    "month": {name: number for number, name in enumerate(_MONTHS, 1)},
    "weekday": {name: number for number, name in enumerate(_DAYS)},
}
_NAMED: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_FARTHEST: Final = timedelta(days=5 * 366)


class NoSchedule(ValueError):  # noqa: N818 - it names what it is
    """The text is no schedule; it says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something is due. ``every`` is a period; with none, it is due at minutes that all fields allow."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = True
    any_weekday: bool = True
    every: timedelta | None = None

    def after(self, moment: datetime) -> datetime | None:
        """The next time strictly after ``moment``, in its time zone; nothing when there is none within five years."""
        if self.every is not None:
            return moment.replace(microsecond=0) + self.every
        found = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        last = moment + _FARTHEST
        while found <= last:
            if found.month not in self.months or not self._is_day(found):
                found = found.replace(hour=0, minute=0) + timedelta(days=1)
            elif found.hour not in self.hours:
                found = found.replace(minute=0) + timedelta(hours=1)
            elif found.minute not in self.minutes:
                found += timedelta(minutes=1)
            else:
                return found
        return None

    def _is_day(self, moment: datetime) -> bool:
        day, weekday = moment.day in self.days, moment.isoweekday() % 7 in self.weekdays
        return day and weekday if self.any_day or self.any_weekday else day or weekday


def schedule(text: str) -> Schedule:
    """The schedule that ``text`` says; raises ``NoSchedule``."""
    if text.startswith("@every "):
        found = _DURATION.fullmatch(text[len("@every ") :])
        if found is None or not found[0]:
            raise NoSchedule(f"failed to parse duration {text}: time: invalid duration {_quoted(text[7:])}")
        amounts = dict(zip(("hours", "minutes", "seconds"), (int(part or 0) for part in found.groups()), strict=True))
        return Schedule(every=max(timedelta(seconds=1), timedelta(**amounts)))
    if text.startswith("@"):
        if text not in _NAMED:
            raise NoSchedule(f"unrecognized descriptor: {text}")
        text = _NAMED[text]
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise NoSchedule(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    minutes, hours, days, months, weekdays = (_field(part, *bounds) for part, bounds in zip(parts, _FIELDS, strict=True))
    any_day, any_weekday = (parts[place].startswith(("*", "?")) for place in (2, 4))
    return Schedule(minutes, hours, days, months, weekdays, any_day=any_day, any_weekday=any_weekday)


def _field(text: str, name: str, low: int, high: int) -> frozenset[int]:
    return frozenset().union(*(_range(part, name, low, high) for part in text.split(",")))


def _range(text: str, name: str, low: int, high: int) -> range:
    span, slash, step_text = text.partition("/")
    first_text, dash, last_text = span.partition("-")
    if first_text in ("*", "?"):
        first, last = low, high
    else:
        first = _number(first_text, name)
        last = _number(last_text, name) if dash else high if slash else first
    step = _number(step_text, "") if slash else 1
    if first < low:
        raise NoSchedule(f"beginning of range ({first}) below minimum ({low}): {text}")
    if last > high:
        raise NoSchedule(f"end of range ({last}) above maximum ({high}): {text}")
    if first > last:
        raise NoSchedule(f"beginning of range ({first}) beyond end of range ({last}): {text}")
    if not step:
        raise NoSchedule(f"step of range should be a positive number: {text}")
    return range(first, last + 1, step)


def _number(text: str, name: str) -> int:
    number = _WORDS.get(name, {}).get(text.lower())
    if number is not None:
        return number
    if not text.isdecimal() or not text.isascii():
        raise NoSchedule(f"failed to parse int from {text}: strconv.Atoi: parsing {_quoted(text)}: invalid syntax")
    return int(text)


def _quoted(text: str) -> str:
    return f'"{text}"'
