"""The benchmarks, in the order in which they run: a module each, with a function ``measure``."""

from __future__ import annotations

import importlib

import msgspec

from bench.figures import Figure, Scale

NAMES = ("client", "planner", "apiserver", "churn", "ready", "life", "operator", "cozypkg")


def about(name: str) -> str:
    """The first line of what a benchmark says of itself."""
    return (importlib.import_module(f"bench.benchmarks.{name}").__doc__ or "").partition("\n")[0]


def measure(name: str, scale: Scale) -> list[Figure]:
    """The figures of a benchmark, measured in this process."""
    module = importlib.import_module(f"bench.benchmarks.{name}")
    figures: list[Figure] = module.measure(scale)
    return [
        figure if figure.value is None else msgspec.structs.replace(figure, value=round(figure.value, 4)) for figure in figures
    ]
