"""Comparisons as the command line makes them: one view, asked, edited and asked again."""

from __future__ import annotations

from typing import Any

from cozystack.planner import Catalogue
from cozystack.planner.comparison import Comparison, assume_installed, compare, replace_objects
from cozystack.planner.snapshot import Snapshot


def between(before: Catalogue, after: Catalogue, *, live: bool = False, **options: Any) -> Comparison:
    """What leads to the objects of ``after``; the view ``before`` holds them then."""
    if not live:
        with before.batch():
            assume_installed(before)
    old = Snapshot(before)
    affected = replace_objects(before, after.sources, after.packages)
    return compare(old, before, affected, live=live, **options)
