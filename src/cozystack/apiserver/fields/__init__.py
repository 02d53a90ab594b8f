"""Who owns which field: server-side apply and ``metadata.managedFields``."""

from __future__ import annotations

from cozystack.apiserver.fields.apply import ApplyConflict, Conflict, apply
from cozystack.apiserver.fields.managed import NO_RESETS, Resets, same_but_times, update

__all__ = ["NO_RESETS", "ApplyConflict", "Conflict", "Resets", "apply", "same_but_times", "update"]
