"""Python's cyclic collector, told to leave alone what lives for ever: it is most of the cost of decoding big lists."""

from __future__ import annotations

import gc


def tune_gc() -> None:
    """Call once, when the program has started: what exists now is never looked at again, and collections become rare."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
