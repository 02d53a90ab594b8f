"""Who owns which field: server-side apply and ``metadata.managedFields``."""

from __future__ import annotations

from cozystack.apiserver.fields.apply import ApplyConflict, Conflict, apply
from cozystack.apiserver.fields.managed import update

__all__ = ["ApplyConflict", "Conflict", "apply", "update"]
