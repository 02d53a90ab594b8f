"""A run as a table and as JSON, and how it compares with the recorded one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.figures import Figure
from bench.machine import Machine

FORMAT = 1


class Benchmark(msgspec.Struct):
    """The figures of one benchmark, and how long it took to get them."""

    name: str
    seconds: float
    figures: list[Figure]


class Run(msgspec.Struct, kw_only=True):
    """One run. ``calibration``: milliseconds of a turn of the calibration loop, before the first benchmark and after the last.

    ``dirty``: the working tree was not that of ``commit``.
    """

    format: int = FORMAT
    time: str
    commit: str = ""
    dirty: bool = False
    quick: bool = False
    machine: Machine
    calibration: tuple[float, ...] = ()
    benchmarks: list[Benchmark] = []

    @property
    def turn(self) -> float:
        """Milliseconds of a turn when nobody disturbed it."""
        return min(self.calibration, default=0.0)

    def all_kept(self) -> bool:
        """No benchmark failed, and no limit was missed; limits are for whole runs, so quick ones cannot miss them."""
        figures = [figure for benchmark in self.benchmarks for figure in benchmark.figures]
        return not any(figure.failed or (figure.kept is False and not self.quick) for figure in figures)


class Row(NamedTuple):
    name: str
    value: str
    hold: str
    verdict: str
    change: str


COLUMNS = ("", "value", "hold", "", "to the baseline")


def load(path: Path) -> Run:
    """A run as it was stored; raises ``OSError`` and ``msgspec.DecodeError``."""
    return msgspec.json.decode(path.read_bytes(), type=Run)


def store(run: Run, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")


def show(run: Run, baseline: Run | None, stream: TextIO) -> None:
    """Print the run: with lines and colours on a terminal, as plain aligned text elsewhere."""
    console = Console(file=stream, highlight=False)
    for benchmark in run.benchmarks:
        rows = list(_rows(run, benchmark, baseline))
        if console.is_terminal:
            console.print(_table(benchmark, rows))
        else:
            stream.write("\n".join(_lines(benchmark, rows)) + "\n\n")
    stream.write(_foot(run, baseline))


def _rows(run: Run, benchmark: Benchmark, baseline: Run | None) -> Iterator[Row]:
    before = (
        {figure.name: figure for found in baseline.benchmarks if found.name == benchmark.name for figure in found.figures}
        if baseline
        else {}
    )
    for figure in benchmark.figures:
        hold = str(figure.hold or "")
        if figure.failed or figure.value is None:
            yield Row(figure.name, "", hold, "FAILED", figure.failed)
            continue
        verdict = "" if run.quick else {True: "ok", False: "MISSED", None: ""}[figure.kept]
        change = ""
        if baseline is not None and not run.quick and figure.name in before:
            change = _change(figure, before[figure.name], run.turn / baseline.turn)
        yield Row(figure.name, _value(figure.value, figure.unit), hold, verdict, change)


def _value(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 1000 or value == int(value) else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f} {unit}"


def _change(figure: Figure, before: Figure, slower: float) -> str:
    """How many times the old value the new one is, after what the machines' speeds explain."""
    if not figure.value or not before.value or figure.unit != before.unit:
        return ""
    ratio = figure.value / before.value
    if figure.unit in ("s", "ms"):
        ratio /= slower
    elif figure.unit == "/s":
        ratio *= slower
    return f"× {ratio:.2f}"


def _table(benchmark: Benchmark, rows: list[Row]) -> Table:
    title = f"{benchmark.name} ({benchmark.seconds:.0f} s)"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for name, right in zip(COLUMNS, (False, True, True, False, False), strict=True):
        table.add_column(name, justify="right" if right else "left")
    colours = {"ok": "green", "MISSED": "bold red", "FAILED": "bold red"}
    for row in rows:
        table.add_row(row.name, row.value, row.hold, Text(row.verdict, colours.get(row.verdict, "")), row.change)
    return table


def _lines(benchmark: Benchmark, rows: list[Row]) -> Iterator[str]:
    yield f"{benchmark.name} ({benchmark.seconds:.0f} s)"
    every = [Row(*COLUMNS), *rows]
    name, value, hold, verdict = (max(len(row[place]) for row in every) for place in range(4))
    for row in every:
        line = f"  {row.name:<{name}}  {row.value:>{value}}  {row.hold:>{hold}}  {row.verdict:<{verdict}}  {row.change}"
        yield line.rstrip()


def _foot(run: Run, baseline: Run | None) -> str:
    machine = run.machine
    before, after = run.calibration
    text = f"calibration {before:.1f} ms before, {after:.1f} ms after; {machine.cpus} CPUs ({machine.cpu}), {machine.python}\n"
    if max(before, after) > 1.15 * min(before, after):
        text += "the machine was not equally fast all the time: repeat the run before you trust a change\n"
    if run.quick:
        text += "a quick run shows that everything runs; its figures are not comparable, and limits are not judged\n"
    elif baseline is not None:
        day, turn = baseline.time[:10], baseline.turn
        text += f"to the baseline: times the value of {day} ({turn:.1f} ms), the speeds of the machines taken out\n"
    return text
