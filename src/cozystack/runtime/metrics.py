"""A small registry of metrics and its text for Prometheus.

Names and labels are declared once; a value is kept for each combination of label values that was used, so labels must have few
values (never a name of an object).
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Buckets for seconds."""


class Metric:
    """What every metric has: a name, a text, label names."""

    kind = "untyped"

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()) -> None:
        if not all(_NAME.fullmatch(each) for each in (name, *labels)):
            raise ValueError(f"not a name of a metric or label: {(name, *labels)}")
        self.name = name
        self.about = about
        self.labels = tuple(labels)

    def samples(self) -> Iterator[str]:
        """Lines of the exposition format."""
        raise NotImplementedError

    def _key(self, labels: dict[str, str]) -> tuple[str, ...]:
        if labels.keys() != set(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {tuple(labels)}")
        return tuple(labels[name] for name in self.labels)

    def _line(self, values: tuple[str, ...], number: float, suffix: str = "", extra: str = "") -> str:
        pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(self.labels, values, strict=True)]
        if extra:
            pairs.append(extra)
        return f"{self.name}{suffix}{'{' + ','.join(pairs) + '}' if pairs else ''} {_number(number)}"


class _Single(Metric):
    """One number for each combination of labels."""

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, about, labels)
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def value(self, **labels: str) -> float:
        return self._values.get(self._key(labels), 0.0)

    def samples(self) -> Iterator[str]:
        for key, value in sorted(self._values.items()):
            yield self._line(key, value)


class Counter(_Single):
    """A number that only grows."""

    kind = "counter"

    def inc(self, amount: float = 1.0, **labels: str) -> None:
        if amount < 0:
            raise ValueError("a counter does not go down")
        key = self._key(labels)
        self._values[key] = self._values.get(key, 0.0) + amount


class Gauge(_Single):
    """A number that goes up and down."""

    kind = "gauge"

    def set(self, value: float, **labels: str) -> None:
        self._values[self._key(labels)] = value

    def inc(self, amount: float = 1.0, **labels: str) -> None:
        key = self._key(labels)
        self._values[key] = self._values.get(key, 0.0) + amount

    def remove(self, **labels: str) -> None:
        """Forget one combination of labels."""
        self._values.pop(self._key(labels), None)


class Histogram(Metric):
    """How often values fell into each bucket, their sum and number."""

    kind = "histogram"

    def __init__(self, name: str, about: str, labels: Sequence[str] = (), buckets: Sequence[float] = DURATIONS) -> None:
        super().__init__(name, about, labels)
        if list(buckets) != sorted(set(buckets)) or not buckets:
            raise ValueError("buckets must grow")
        self.buckets = tuple(buckets)
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, value: float, **labels: str) -> None:
        key = self._key(labels)
        counts = self._counts.setdefault(key, [0] * (len(self.buckets) + 1))
        counts[bisect_left(self.buckets, value)] += 1
        self._sums[key] = self._sums.get(key, 0.0) + value

    def count(self, **labels: str) -> int:
        """How many values were observed."""
        return sum(self._counts.get(self._key(labels), ()))

    def samples(self) -> Iterator[str]:
        for key, counts in sorted(self._counts.items()):
            total = 0
            for bound, count in zip((*self.buckets, math.inf), counts, strict=True):
                total += count
                yield self._line(key, total, "_bucket", f'le="{_number(bound)}"')
            yield self._line(key, self._sums[key], "_sum")
            yield self._line(key, total, "_count")


class _Read(Metric):
    """Gauges that are read when somebody looks."""

    kind = "gauge"

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, about, labels)
        self._reads: dict[tuple[str, ...], Callable[[], float]] = {}

    def add(self, read: Callable[[], float], labels: dict[str, str]) -> None:
        self._reads[self._key(labels)] = read

    def samples(self) -> Iterator[str]:
        for key, read in sorted(self._reads.items(), key=lambda item: item[0]):
            yield self._line(key, read())


M = TypeVar("M", bound=Metric)


class Registry:
    """The metrics of a program. Asking for a metric of the same name and kind again gives the same metric."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Counter:
        return self._add(Counter(name, about, labels))

    def gauge(self, name: str, about: str, labels: Sequence[str] = ()) -> Gauge:
        return self._add(Gauge(name, about, labels))

    def histogram(
        self, name: str, about: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = DURATIONS
    ) -> Histogram:
        return self._add(Histogram(name, about, labels, buckets))

    def collect(
        self, name: str, about: str, read: Callable[[], float], labels: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """A gauge that is read when somebody looks; one for each combination of labels."""
        self._add(_Read(name, about, tuple(labels))).add(read, dict(labels))

    def text(self) -> str:
        """The exposition format, version 0.0.4."""
        lines: list[str] = []
        for name, metric in sorted(self._metrics.items()):
            about = metric.about.replace("\\", r"\\").replace("\n", r"\n")
            lines += [f"# HELP {name} {about}", f"# TYPE {name} {metric.kind}", *metric.samples()]
        return "\n".join(lines) + "\n"

    def _add(self, metric: M) -> M:
        known = self._metrics.setdefault(metric.name, metric)
        if type(known) is not type(metric) or known.labels != metric.labels:
            raise ValueError(f"{metric.name} is there already, as another metric")
        return known


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if value == math.inf:
        return "+Inf"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
