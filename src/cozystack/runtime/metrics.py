"""A small registry of metrics and its text for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class Counter:
    def inc(self, amount: float = 1.0, **labels: str) -> None:
        raise NotImplementedError

    def value(self, **labels: str) -> float:
        raise NotImplementedError


class Gauge:
    def set(self, value: float, **labels: str) -> None:
        raise NotImplementedError

    def value(self, **labels: str) -> float:
        raise NotImplementedError


class Histogram:
    def observe(self, value: float, **labels: str) -> None:
        raise NotImplementedError


class Registry:
    """Asking for a metric of the same name again gives the same metric."""

    def counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Counter:
        raise NotImplementedError

    def gauge(self, name: str, about: str, labels: Sequence[str] = ()) -> Gauge:
        raise NotImplementedError

    def histogram(self, name: str, about: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = ()) -> Histogram:
        raise NotImplementedError

    def collect(self, name: str, about: str, read: Callable[[], float]) -> None:
        """A gauge that is read when somebody looks."""
        raise NotImplementedError

    def text(self) -> str:
        """The exposition format, version 0.0.4."""
        raise NotImplementedError
