"""Where objects are kept: in memory, and in SQLite as well when they shall outlive the process."""

from __future__ import annotations

from pathlib import Path

from cozystack.apiserver.storage.memory import Event, Expired, Storage, Stored, Subscription, VersionMismatch
from cozystack.apiserver.storage.sqlite import SqliteStorage, StateTooNew

__all__ = [
    "Event",
    "Expired",
    "SqliteStorage",
    "StateTooNew",
    "Storage",
    "Stored",
    "Subscription",
    "VersionMismatch",
    "open_storage",
]


def open_storage(path: Path | None) -> Storage:
    """Storage in the SQLite file at ``path``, or in memory alone; raises ``StateTooNew``."""
    return Storage() if path is None else SqliteStorage(path)
