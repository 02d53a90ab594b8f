"""The runner: ``python -m bench [--only NAME] [--json FILE] [--quick | --full] [--list]``.

Exit codes: 0 when every limit is kept, 1 when one is missed or a benchmark could not run, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.benchmarks import NAMES, about, measure
from bench.calibration import calibrate
from bench.figures import Scale, not_available
from bench.machine import machine
from bench.processes import apart
from bench.report import Benchmark, Run, load, show, store

RESULTS = Path(__file__).parent / "results"
BASELINE = RESULTS / "baseline.json"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.list:
        for name in NAMES:
            print(f"{name:<10} {about(name)}")
        return 0
    run = _measured(tuple(options.only or NAMES), Scale(quick=options.quick, full=options.full))
    show(run, load(BASELINE) if BASELINE.exists() else None, sys.stdout)
    path = options.json or RESULTS / f"{run.time.replace(':', '')}.json"
    store(run, path)
    print(f"stored in {_short(path)}")
    return 0 if run.all_kept() else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the platform.")
    parser.add_argument("--only", metavar="NAME", action="append", choices=NAMES, help="run this benchmark; may be repeated")
    parser.add_argument("--json", metavar="FILE", type=Path, help="store the run here, not under bench/results")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: does it run at all?")
    parser.add_argument("--full", action="store_true", help="the big sizes too, where a benchmark has them: half an hour")
    parser.add_argument("--list", action="store_true", help="say what there is, and end")
    return parser


def _measured(names: Sequence[str], scale: Scale) -> Run:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    commit, dirty = _commit()
    run = Run(time=now, commit=commit, dirty=dirty, quick=scale.quick, machine=machine())
    before = calibrate() * 1000
    for number, name in enumerate(names, 1):
        print(f"{number} of {len(names)}: {name} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            figures = apart(measure, name, scale)
        except Exception as error:
            figures = [not_available(name, "", f"{type(error).__name__}: {error}")]
        run.benchmarks.append(Benchmark(name, round(time.monotonic() - began, 1), figures))
    run.calibration = (round(before, 3), round(calibrate() * 1000, 3))
    return run


def _commit() -> tuple[str, bool]:
    """The commit that is measured, and whether files differ from it; nothing outside of a checkout."""
    folder = Path(__file__).parent
    try:
        answers = [
            subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607
            for words in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--", "../src", "../packages"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return "", False
    return answers[0], bool(answers[1])


def _short(path: Path) -> Path:
    """The path as seen from the working directory, where it is below it."""
    here = Path.cwd()
    return path.resolve().relative_to(here) if path.resolve().is_relative_to(here) else path


if __name__ == "__main__":
    sys.exit(main())
