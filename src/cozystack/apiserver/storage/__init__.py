"""Where objects are kept: in memory, and in SQLite as well when they shall outlive the process."""

from __future__ import annotations

from pathlib import Path

from cozystack.apiserver.storage.interface import (
    Event,
    EventKind,
    Expired,
    Snapshot,
    StateInUse,
    StateTooNew,
    StateUnusable,
    Storage,
    StorageError,
    Stored,
    Subscription,
    VersionAhead,
    VersionMismatch,
)
from cozystack.apiserver.storage.memory import MemoryStorage
from cozystack.apiserver.storage.sqlite import SqliteStorage

__all__ = [
    "Event",
    "EventKind",
    "Expired",
    "MemoryStorage",
    "Snapshot",
    "SqliteStorage",
    "StateInUse",
    "StateTooNew",
    "StateUnusable",
    "Storage",
    "StorageError",
    "Stored",
    "Subscription",
    "VersionAhead",
    "VersionMismatch",
    "open_storage",
]


def open_storage(path: Path | None) -> Storage:
    """Storage in the SQLite file at ``path``, or in memory alone; raises ``StateUnusable``."""
    return MemoryStorage() if path is None else SqliteStorage(path)
