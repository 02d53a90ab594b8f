"""Play many schedules, nightly: ``make simulate``, or ``make simulate FIRST=17 LAST=18`` to play one seed again.

Random plays by the seeds FIRST to LAST; then every point of the one story, and every way of being bad with other graphs. Each
schedule says nothing when all is well; one that fails prints its story and the command that plays it again. Exit code 1 then.
Several processes; one that dies is reported with what it was playing.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import logging
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation import bad, points, verdict

GRAPHS = 20
"""Graphs with which each way of being bad is tried."""
EVERY = 15.0
"""Seconds between two lines of progress."""


class Schedule(NamedTuple):
    """``kind`` is seed, point or bad; the rest says which."""

    kind: str
    number: int
    what: str = ""

    @property
    def replay(self) -> str:
        if self.kind == "seed":
            return verdict.replay(self.number)
        return f"make simulate ARGS=\"--only {self.kind} --what '{self.what}' --number {self.number}\""


class Outcome(NamedTuple):
    """``failure`` is empty when all is well; ``megabytes`` is what the process held then."""

    schedule: Schedule
    failure: str
    megabytes: int


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    schedules = list(_schedules(options))
    began = shown = time.monotonic()
    played, failed, most = 0, 0, 0
    for outcome in _outcomes(schedules, options.jobs):
        played += 1
        most = max(most, outcome.megabytes)
        if outcome.failure:
            failed += 1
            _say(f"FAILED: {outcome.schedule.replay}\n{outcome.failure}\n")
        now = time.monotonic()
        if now - shown > EVERY or played == len(schedules):
            shown = now
            rate = played / (now - began)
            _say(f"{played:,} of {len(schedules):,} schedules, {failed} failed, {rate:.1f}/s, {most} MB a process")
    return 1 if failed or played < len(schedules) else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make simulate", description="Break platforms and see them converge.")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--last", type=int, default=10_000, help="the seed after the last")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--only", choices=("seed", "point", "bad"), help="schedules of this sort alone")
    parser.add_argument("--what", default="", help="with --only: this failure or way of being bad")
    parser.add_argument("--number", type=int, help="with --only and --what: this point or graph")
    return parser


def _schedules(options: argparse.Namespace) -> Iterator[Schedule]:
    """What there is to play. A range of seeds that is not the nightly one is played alone."""
    nightly = (options.first, options.last) == (0, 10_000)
    if options.only in (None, "seed"):
        yield from (Schedule("seed", seed) for seed in range(options.first, options.last))
    rest: list[Schedule] = []
    if options.only == "point" or (options.only is None and nightly):
        rest += (Schedule("point", point.number, point.what) for point in points.tell().points())
    if options.only == "bad" or (options.only is None and nightly):
        rest += (Schedule("bad", graph, kind) for kind in bad.kinds() for graph in range(GRAPHS))
    for schedule in rest:
        if options.what in ("", schedule.what) and options.number in (None, schedule.number):
            yield schedule


# One schedule


def play(schedule: Schedule) -> None:
    """Raises ``AssertionError``, or whatever breaks."""
    match schedule.kind:
        case "seed":
            asyncio.run(verdict.judge(schedule.number))
        case "point":
            _judge_point(schedule)
        case _:
            alone = asyncio.run(bad.ready_times(schedule.number, None))
            together = asyncio.run(bad.ready_times(schedule.number, bad.kinds()[schedule.what]()))
            late = {name: (alone[name], together.get(name)) for name in alone if together.get(name, 1e9) > alone[name]}
            assert not late, f"ready late, or never: {late}"


_undisturbed: list[points.Telling] = []


def _judge_point(schedule: Schedule) -> None:
    if not _undisturbed:
        _undisturbed.append(points.tell())
    point = next(each for each in _undisturbed[0].points() if (each.what, each.number) == (schedule.what, schedule.number))
    found, expected = points.tell(point).state, _undisturbed[0].state
    different = {name: (found.get(name), expected.get(name)) for name in found.keys() | expected.keys()}
    different = {name: pair for name, pair in different.items() if pair[0] != pair[1]}
    assert not different, f"{point}: {different}"


# Many processes


def _outcomes(schedules: Sequence[Schedule], jobs: int) -> Iterator[Outcome]:
    """In the order in which they are there. What the dead were playing has failed; others go on with the rest."""
    spawn = multiprocessing.get_context("spawn")
    waiting = iter(schedules)
    working: dict[Connection, tuple[multiprocessing.process.BaseProcess, Schedule]] = {}

    def begin() -> None:
        schedule = next(waiting, None)
        if schedule is not None:
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            ours.send(schedule)
            working[ours] = (process, schedule)

    for _ in range(jobs):
        begin()
    while working:
        for ready in wait(list(working)):
            assert isinstance(ready, Connection)
            process, schedule = working[ready]
            try:
                outcome: Outcome = ready.recv()
            except EOFError:
                process.join()
                del working[ready]
                yield Outcome(schedule, f"the process has died (exit code {process.exitcode})", 0)
                begin()
                continue
            yield outcome
            following = next(waiting, None)
            ready.send(following)
            if following is None:
                process.join()
                del working[ready]
            else:
                working[ready] = (process, following)


def _work(connection: Connection) -> None:
    """Play what is sent until nothing is."""
    faulthandler.enable()
    logging.disable(logging.CRITICAL)
    while (schedule := connection.recv()) is not None:
        failure = ""
        try:
            play(schedule)
        except AssertionError as error:
            failure = str(error)
        except Exception:
            failure = traceback.format_exc()
        connection.send(Outcome(schedule, failure, _megabytes()))


def _megabytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20


if __name__ == "__main__":
    sys.exit(main())
