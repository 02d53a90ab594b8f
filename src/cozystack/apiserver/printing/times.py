"""Durations as kubectl prints them: ``45s``, ``5m3s``, ``3h20m``, ``2d4h``, ``40d``, ``1y30d``."""

from __future__ import annotations

from datetime import datetime

from cozystack.api.time import parse_time


def age(stamp: str | None, now: datetime) -> str:
    """How long ago a point in time was."""
    if not stamp:
        return "<unknown>"
    try:
        return duration((now - parse_time(stamp)).total_seconds())
    except ValueError:
        return "<invalid>"


def duration(elapsed: float) -> str:
    """``elapsed`` seconds in at most two units.

    >>> duration(303)
    '5m3s'
    """
    seconds = int(elapsed)
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    years = days // 365
    if years < 8:
        return f"{years}y{days % 365}d" if days % 365 else f"{years}y"
    return f"{years}y"
