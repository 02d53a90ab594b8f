"""What can go wrong before anything is tested."""

from __future__ import annotations


class E2eError(Exception):
    """Something about this machine or this cluster, in a sentence that a person can act on."""
