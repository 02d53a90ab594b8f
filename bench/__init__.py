"""Measurements of the platform: ``python -m bench``.

A benchmark is a module of ``bench.benchmarks`` with ``measure(scale) -> list[Figure]``; its docstring's first line is what
``--list`` prints. Each runs in a fresh process, so that neither order nor memory of one touches the next. A figure may hold a
limit that it must keep; the calibration figure of the same run says how fast the machine was, so that runs on different
machines can be compared. ``docs/benchmarks.md`` says what is measured and how.
"""
