"""What can go wrong at one point, tried at points all over one story; ``make simulate`` tries every point."""

from __future__ import annotations

from functools import cache
from random import Random

import pytest

from simulation.points import BREAKS, ENDS, FAILURES, Point, Telling, tell


@cache
def undisturbed() -> Telling:
    return tell()


def test_the_story_has_many_points_and_is_told_the_same_every_time() -> None:
    telling = undisturbed()
    again = tell()
    assert (again.state, again.rounds, len(again.requests), again.lines) == (
        telling.state,
        telling.rounds,
        len(telling.requests),
        telling.lines,
    )
    assert telling.rounds > 150
    assert len(telling.requests) > 50
    assert telling.lines > 50


@pytest.mark.parametrize("what", [*ENDS, *FAILURES, *BREAKS, "410"])
def test_nothing_that_goes_wrong_at_one_point_makes_a_difference_in_the_end(what: str) -> None:
    points = [point for point in undisturbed().points() if point.what == what]
    for point in Random(what).sample(points, min(3, len(points))):  # noqa: S311
        judge(point)


def judge(point: Point) -> None:
    assert tell(point).state == undisturbed().state, str(point)
