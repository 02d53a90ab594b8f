"""``python -m e2e.bench [--only NAME] [--sizes N ...] [--quick] [--json FILE]``: measure on a real control plane.

Exit codes: 0 when every limit is kept, 1 when one is missed or something could not be measured, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from bench.__main__ import RESULTS
from bench.calibration import calibrate
from bench.figures import Figure, Scale, not_available
from bench.machine import machine
from bench.report import Benchmark, Run, show, store

from e2e.bench import flux, operator, quiet, servers
from e2e.build import build
from e2e.errors import E2eError

NAMES = ("operator", "servers", "flux", "quiet")
SIZES = (100, 1_000)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    scale = Scale(quick=options.quick)
    measures: dict[str, Callable[[], list[Figure]]] = {
        "operator": lambda: operator.measure(scale, tuple(options.sizes)),
        "servers": lambda: servers.measure(scale),
        "flux": lambda: flux.measure(scale),
        "quiet": lambda: quiet.measure(scale),
    }
    try:
        build()
    except E2eError as error:
        print(error, file=sys.stderr)
        return 1
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    run = Run(time=now, quick=scale.quick, machine=machine())
    before = calibrate() * 1000
    for name in options.only or NAMES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            figures = measures[name]()
        except Exception as error:
            figures = [not_available(name, "", f"{type(error).__name__}: {error}")]
        rounded = [
            each if each.value is None else msgspec.structs.replace(each, value=round(each.value, 4)) for each in figures
        ]
        run.benchmarks.append(Benchmark(name, round(time.monotonic() - began, 1), rounded))
    run.calibration = (round(before, 3), round(calibrate() * 1000, 3))
    show(run, None, sys.stdout)
    path = options.json or RESULTS / f"e2e-{run.time.replace(':', '')}.json"
    store(run, path)
    print(f"stored in {path}")
    return 0 if run.all_kept() else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench", description="Measure on a real control plane.")
    parser.add_argument("--only", metavar="NAME", action="append", choices=NAMES, help="measure this alone; may be repeated")
    parser.add_argument("--sizes", metavar="N", type=int, nargs="+", default=SIZES, help="numbers of packages")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: does it run at all?")
    parser.add_argument("--json", metavar="FILE", type=Path, help="store the run here, not under bench/results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
